"""The resolver: the DNS server that containers see at 127.0.0.11. One process for all of a daemon's sandboxes.

Theory of operation::

    daemon ──▶ control.py ──▶ zones.py        who has which names and addresses, per network
                   │              ▲ looked up
                   └────────▶ listeners.py    sockets inside each sandbox: questions in, answers out
                                  │           answers.py  one question, from the zones alone
                                  │           wire.py     messages as they travel
                                  ▼
                              forwarding.py   what nobody here is called: asked of servers elsewhere
                                inside.py     sockets of another network namespace

One thread, one epoll instance (:mod:`engine.runtime.loop`), nothing that blocks: a server that is slow keeps nobody else waiting.
What stands here it has been told by the daemon and keeps in memory; it goes on answering without one, and leaves out by
itself a container whose first process has ended. A resolver that dies is replaced by the daemon, which tells the new one
everything. With neither a daemon nor a record left it has nobody to be there for, and ends.

It may import :mod:`engine.runtime` beside itself and the standard library, nothing else: as lean as the forked processes,
and started like them.
"""
