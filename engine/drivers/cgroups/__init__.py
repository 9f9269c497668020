"""Cgroups: version 1, version 2 and both together, behind one driver.

driver.py          the driver: a directory per container in every hierarchy
detect.py          finds out which versions and controllers the machine has
hierarchies.py     finds the mounted hierarchies
cgroup_parents.py  the directory in which a container's cgroup is made
v1.py              version 1
v2.py              version 2
unified.py         freeze, kill and emptiness in version 2, without controllers
settings.py        limits → contents of control files
block.py           limits of block devices
devices.py         which device nodes may be used
bpf.py             the calls of bpf(2)
programs.py        BPF programs for device nodes
files.py           reads and writes control files
write_watch.py     reports whether another process has written to control files
v1_stats.py        counters of version 1
v2_stats.py        counters of version 2
"""
