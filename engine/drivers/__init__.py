"""Drivers perform: idempotent, discoverable effects in the kernel, named by ``domain/naming.py``.

They translate between what the supervisor asks for and what the kernel understands. They know addresses, names and IDs,
never the rules. May import ``supervisor`` (the ports that they answer), ``domain``, ``runtime`` and what stands below.

    kernel.py, usage.py, streams.py     the ports, answered by what is in
    runs  cgroups  networks  filesystems  images  logs

    effects         the supervisor's actions and looks: which driver performs each
    lanes.py        which threads blocking work runs on; each container has queues of its own
    listing.py      lists directories of the engine's own, whatever became of them
"""
