"""Make the files of a container's run, launch its monitor, and read its journal.

bundle_maker.py       makes all files of a run
bundles.py            writes bundles, for the container's first process to read
launch_orders.py      makes the launch order, for the monitor
run_files.py          opens lock, journal, log and socket of a run
etc_files.py          writes ``/etc/hosts`` and its siblings
devices.py            device nodes of a privileged container
device_mappings.py    device nodes that were asked for
joined_namespaces.py  opens the namespaces that a container joins
seccomp.py            seccomp profiles → BPF programs
seccomp_profile.py    parses seccomp profiles
launcher.py           keeps the launcher running, and sends it orders
monitors.py           connections to monitors
connections.py        passes clients' connections to a monitor
journal.py            reads journals
probes.py             MonitorProbes: the port for health checks
"""
