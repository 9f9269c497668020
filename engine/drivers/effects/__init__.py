"""The supervisor's actions and observations, done with the other drivers.

performers.py       action → performer, one row each
processes.py        launches, execs, signals, kills
observer.py         observes one container
inventory.py        lists all objects of the engine's own; discards orphans
first_processes.py  checks that first processes are in their cgroups
watches.py          reports whether directories or mounts have changed
journals.py         what monitors have written, and waiting for more of it
"""
