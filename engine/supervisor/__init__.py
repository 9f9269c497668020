"""The supervisor closes the gap between what the log wants and what the kernel has.

    observation.py  what the kernel says              ports.py       what the supervisor asks of drivers
    conclude.py     (state, observation) → events     actions.py     what can be done to the kernel
    plan.py         (state, observation) → actions    starts.py      what a start is given: sandbox, address, ports
    streams.py      what is asked for clients' connections
    worker.py       one container, one task           supervisor.py  all workers, the sweep, recovery
    deadlines.py    how long each action may take
    background.py   the root of all background loops: logs errors, backs off, goes on

``conclude`` and ``plan`` are pure. Imports ``store``, ``domain`` and ``errors``; knows drivers only by their port.
"""
