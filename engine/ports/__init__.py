"""Declare what the engine asks of drivers: Protocols, and the values that they take and return.

kernel.py       what the supervisor asks for
actions.py      actions on a container
observation.py  what an observation returns
streams.py      attach, logs, processes
files.py        files of containers
content.py      content of images
usage.py        resource usage
host.py         facts about the machine, and its table of processes
probes.py       health checks
registries.py   registries
"""
