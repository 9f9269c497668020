"""What containers, networks and images are: states, events, and the rules that lead to them.

No I/O, no clock, no random numbers: time and new IDs are arguments. Imports ``errors`` alone.

    exec        additional processes in a running container
    container   containers
    network     networks
    dockerfile  instructions that change an image's config
    image       images, and references to them

    event.py    what every event has in common
    streams.py  names of streams: which object an event belongs to
    ids.py      types of IDs
    booleans.py booleans as users write them
    naming.py   names of kernel objects and paths, computed from IDs
    signals.py  signals as users write them
    host.py     the machine and the daemon
"""
