"""Answer the port for the host: what the machine is, and which processes run.

port.py          the port
facts.py         kernel, distribution, memory, file system
process_list.py  ``ps -ef``, read from /proc without a process
ps.py            every other question for ps(1), which is run
"""
