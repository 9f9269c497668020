"""The DNS server that containers see at 127.0.0.11, one process for all of them.

    process.py     the process: sockets, control connection, loop
    control.py     receives names and addresses from the daemon
    zones.py       the names and addresses of each network
    listeners.py   sockets inside each sandbox
    answers.py     answers one question from the zones
    forwarding.py  forwards other questions to other servers
    inside.py      opens sockets in another network namespace
    wire.py        DNS messages

It is one thread with one epoll instance (:mod:`engine.runtime.loop`), and nothing in it blocks: a
slow server delays no other question. The names are in memory, so the resolver keeps answering
without a daemon; containers whose first process has ended are left out. When the resolver dies, the
daemon starts another one and sends it everything. It ends when there is neither a daemon nor a
name.

It imports :mod:`engine.runtime` and the standard library, nothing else.
"""
