"""Shipslog: an event-sourced container engine.

Each package imports only what stands below it (``pyproject.toml`` has the contracts)::

    api                  Docker's HTTP API: requests to values, values to JSON
    service              what changes something: one method per Docker verb
    queries              what only reads: history, events, statistics
    supervisor           the control loop: compares the log with the kernel, and acts
    drivers              do the work in the kernel, on the disk and at registries
    store                the event log in SQLite, and the state computed from it
    ports                what supervisor, service and queries ask of drivers
    tar                  reads and writes tar archives
    filesystem           reads and changes directories that may be malicious
    domain               containers, networks, images, execs: states, events, rules; no I/O
    runtime              the processes of a container: launcher, monitor, init
    resolver             the DNS server that containers see
    daemon               ``shipslogd``: puts the packages together and runs them
    cli                  ``shipslog``: the command

    container_locks.py   locks a container for one holder at a time
    background.py        runs background loops: logs errors, backs off, goes on
    errors.py            the error hierarchy
    failpoints.py        places where tests make a process fail or die
    capability_names.py  the capabilities of Linux

Where the parts of a feature go, with images as the example: ``domain/image`` (state, events,
rules), ``ports/content.py`` (what drivers must offer), ``drivers/images`` (how they do it),
``service/images.py`` (the verbs), ``api/images`` (the endpoints and their JSON), ``cli/images.py``
(the commands). Volumes would be a folder ``volume`` or ``volumes`` in each of these places. A log
driver is a module in ``drivers/logs`` with its options in ``domain/container/log_config.py``; what
speaks to registries is in ``drivers/registries`` and ``domain/image/registry.py``.
"""
