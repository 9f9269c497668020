"""The forked processes: launcher, monitor, init, resolver. Lean: the standard library only, one thread each.

One of the two ground floors: it knows how Linux makes a container and has never heard of Docker or of the event log. It
may import :mod:`engine.errors` and :mod:`engine.failpoints` beside itself and nothing else of the engine, because every
running container pays for each module in memory, and each fork for each page.

The kernel's edge and what stands on it::

    init.py           everything between fork(2) and execve(2), in order; the one module that the monitor calls
      mounts.py       the root filesystem, as a list of mounts and what becomes of their paths
      devices.py      the nodes and links of /dev
      users.py        who the process is: /etc/passwd and /etc/group as they stand inside
      capabilities.py what it may: the five sets, by name
    linux.py          constants, structs, checked system calls: the only ctypes in the tree
"""
