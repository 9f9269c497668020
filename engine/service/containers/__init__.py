"""Create containers, run them, change them, remove them.

verbs.py     create, start, stop, restart, kill, pause, unpause, rename, remove
creation.py  the checks before a container is created, and what it gets by default
names.py     names for containers that are created without one
streams.py   attach, logs, resize, top
updates.py   limits and restart policies
orders.py    give an order that can be refused, one after the other
waits.py     wait until a run has started, a container has ended, an order is done
"""
