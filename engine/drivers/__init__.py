"""Drivers do what the engine asks for: in the kernel, on the disk, at registries.

Each effect can be done twice, and can be found again by its name (``domain/naming.py``). Drivers
know addresses, names and IDs, and none of the rules. They implement ``engine.ports``; each folder
imports only those below it::

    kernel.py   LinuxKernel: the supervisor's port
    streams.py  LinuxStreams: attach, logs, processes
    usage.py    LinuxUsage: resource usage

    effects     the supervisor's actions and observations
    runs        bundles, launcher, monitors, journals
    files       copy, export, compare
    logs        reads log files
    networks    bridges, sandboxes, firewall
    images      blobs, layers, archives
    cgroups     limits and counters
    registries  login
    host        facts about the machine, and its table of processes
    resolver    starts the resolver and sends it names
    storage     directories and writable layers of containers
    processes   identifies processes safely, and starts lean ones

    lanes.py    threads for blocking work; each container has queues of its own
    listing.py  lists the engine's own directories
"""
