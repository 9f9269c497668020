"""The resolver: the DNS server that containers see at 127.0.0.11, one process for all of them.

    process.py     the process: sockets, control connection, loop
    control.py     takes names and addresses from the daemon
    zones.py       which names and addresses each network has
    listeners.py   sockets inside each sandbox
    answers.py     answers one question from the zones
    forwarding.py  asks other servers what the zones don't know
    inside.py      sockets in another network namespace
    wire.py        DNS messages

It is one thread with one epoll instance (:mod:`engine.runtime.loop`), and nothing in it blocks: a
slow server keeps nobody else waiting. The names are in memory, so the resolver goes on answering
without a daemon; containers whose first process has ended are left out. When the resolver dies the
daemon starts another one and sends it everything. It ends when neither a daemon nor a name is left.

It imports :mod:`engine.runtime` and the standard library, nothing else.
"""
