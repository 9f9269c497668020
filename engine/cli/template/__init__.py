"""Go's text/template, as far as it is used in ``--format``.

    text {{.Field.Of.Field}} {{json .}} {{range $i, $e := .List}}…{{else}}…{{end}}
    {{if eq .State "running"}}…{{end}}

``define``, ``template`` and ``block`` are left out: they are no use on one line. The package
imports the standard library only, and knows nothing of containers.

    syntax.py      text → tree
    evaluation.py  tree and data → text
    functions.py   the functions that a template may call
    values.py      prints JSON data as Go would
"""
