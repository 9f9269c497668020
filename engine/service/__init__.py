"""One method per Docker verb: load, decide, append; the supervisor is woken by the log itself.

    containers.py  their life and streams     execs.py   one more process      images.py   content and references
    history.py     the auditor's questions    system.py  the engine about itself
    changes.py     waiting for the log        names.py   for containers without one
    questions.py   threads for what only reads

Knows ``supervisor``, ``store``, ``domain`` and ``errors``; neither HTTP nor any driver.
"""
