"""Run the processes of a container: launcher, monitor, init. One thread each, the standard library
only.

This package knows how Linux makes a container, and nothing of Docker or of the event log. It may
import :mod:`engine.errors`, :mod:`engine.failpoints` and :mod:`engine.capability_names` beside
itself and nothing else of the engine: every running container pays for each module in memory, and
each fork for each page.

From launch to exit; a module calls those that are indented below it::

    launcher.py         forks monitors, one per container, from pages that they share
      page_sharing.py   avoids writes to these pages
    monitor.py          one run of one container, from the first record of its journal to the last
      control.py        receives the daemon's orders
      execs.py          more processes in the container       probes.py    health checks
      children.py       one process from fork(2) to its exit
      streams.py        its standard streams, for all attached clients
        clients.py replay_barrier.py pipes.py
      logfile.py        Docker's json-file log, by blocks
        log_rotation.py renames the file when it is full
      journal.py        the facts that the daemon reads
      oom.py            counts out-of-memory kills
      loop.py           epoll and deadlines
    messages.py         messages between daemon, launcher and monitor
      facts.py          the records of a journal
      json_text.py kernel_files.py process_stat.py mountinfo.py

The interface to the kernel and what is built on it::

    init.py             all steps between fork(2) and execve(2), in order; called by the monitor
      namespaces.py     the container's namespaces, hostname, kernel parameters
      mounts.py         mounts and masks in the root file system; makes it the root
        mount_options.py cgroup_mounts.py
        inside.py       paths of an image, resolved by the kernel below its root
      container_markers.py /.dockerenv and /etc/mtab
      devices.py        the nodes and links of /dev
      console.py        a terminal of the container's own devpts
      users.py          looks up users in the /etc/passwd and /etc/group inside
      privileges.py     drops limits, user, capabilities in the order that the kernel allows
        capabilities.py
      executable.py     finds the command's file, and calls execve(2)
      failure.py        errors with the messages and exit codes of Docker
    bundle.py           parses config.json and monitor.json
    linux.py            constants, structs, checked system calls
"""
