"""Go's text/template, as far as people use it in ``--format``.

    text {{.Field.Of.Field}} {{json .}} {{range $i, $e := .List}}…{{else}}…{{end}} {{if eq .State "running"}}…{{end}}

``syntax`` turns text into a tree, ``evaluation`` walks it over data, ``functions`` are what may be called, ``values`` says
what Go would print. Left out: ``define``, ``template`` and ``block``, which nobody can use on one line.

Only the standard library, and this package knows nothing of containers.
"""
