"""The processes of a container: launcher, monitor, init. One thread each, the standard library
only.

One of the two ground floors: it knows how Linux makes a container and nothing of Docker or of the
event log. It may import :mod:`engine.errors`, :mod:`engine.failpoints` and
:mod:`engine.capability_names` beside itself and nothing else of the engine: every running container
pays for each module in memory, and each fork for each page.

From launch to exit; a module calls those that are indented below it::

    launcher.py         forks monitors, one per container, from pages that they share
      page_sharing.py   what keeps these pages shared
    monitor.py          one run of one container, from the first record of its journal to the last
      control.py        what the daemon orders
      execs.py          more processes in the container       probes.py    those that ask how it is
      children.py       one process from fork(2) to its exit
      streams.py        its standard streams, for all who are attached
        clients.py replay_barrier.py pipes.py
      logfile.py        Docker's json-file log, by blocks
        log_rotation.py puts the file aside when it is full
      journal.py        what the daemon takes over
      oom.py            kills that the cgroup has counted
      loop.py           epoll and deadlines
    messages.py         what daemon, launcher and monitor say to each other
      facts.py          the records of a journal
      json_text.py kernel_files.py process_stat.py mountinfo.py

The kernel's edge and what stands on it::

    init.py             everything between fork(2) and execve(2), in order; the one module that the monitor calls
      namespaces.py     which are its own; hostname, kernel parameters
      mounts.py         the root filesystem: what is mounted, masked, and becomes the root
        mount_options.py cgroup_mounts.py
        inside.py       paths that an image wrote are resolved by the kernel, below its root
      container_markers.py /.dockerenv and /etc/mtab
      devices.py        the nodes and links of /dev
      console.py        a terminal of the container's own devpts
      users.py          who the process is: /etc/passwd and /etc/group as they stand inside
      privileges.py     limits, user, capabilities, filter: each given up in the order that allows it
        capabilities.py
      executable.py     which file the command is, and execve(2)
      failure.py        what went wrong, in the words and exit codes of Docker
    bundle.py           config.json and monitor.json, as they are parsed
    linux.py            constants, structs, checked system calls: the only ctypes in the tree
"""
