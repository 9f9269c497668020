"""Endpoints about the engine itself.

handlers.py    ping, version, info
auth.py        login to a registry
disk_usage.py  ``system df``
machine.py     which limits this machine's kernel can keep
show.py        version and info → JSON
answers.py     types of the answers
"""
