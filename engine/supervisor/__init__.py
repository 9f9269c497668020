"""The supervisor closes the gap between what the log wants and what the kernel has.

    supervisor.py      all workers, the sweep, recovery
    sweep.py           compares all kernel objects with the log
    worker.py          one container, one task
    missing_events.py  (state, observation) → events
    plan.py            (state, observation) → actions
    deadlines.py       how long each action may take
    starts.py          gives a start its sandbox, addresses and ports
    networks.py        bridges and other kernel objects of networks
    health.py          runs health checks
    unstarted_execs.py finds execs that were not started in time

``missing_events`` and ``plan`` are pure. Imports ``store``, ``domain``, ``errors`` and ``ports``;
no driver.
"""
