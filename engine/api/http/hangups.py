"""Notice that a client has gone, without reading from it.

While a handler works, nobody reads its connection: what comes next may be the input of a terminal
that belongs to a monitor. So one epoll of our own watches all connections for the hang-up alone, at
the price of one system call per connection and none per request. A client that has only closed its
writing half still listens, and is not gone.

epoll(7): EPOLLHUP is always reported. On a Unix socket it means that the peer has closed both
directions; on TCP the kernel does not distinguish a close from a half-close, so EPOLLRDHUP is used
there.
"""

import select
import socket
from collections.abc import Callable

import trio


class HangUps:
    """Calls back when the peer of a connection has gone."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._listeners: dict[int, Callable[[], None]] = {}

    def watch(self, connection: trio.socket.SocketType, gone: Callable[[], None]) -> None:
        """Call ``gone`` once, when the peer hangs up."""
        half = 0 if connection.family == socket.AF_UNIX else select.EPOLLRDHUP
        self._epoll.register(connection.fileno(), half | select.EPOLLONESHOT)
        self._listeners[connection.fileno()] = gone

    def forget(self, connection: trio.socket.SocketType) -> None:
        """Stop watching. Call this before the descriptor is closed or handed over: epoll follows
        the open file.
        """
        del self._listeners[connection.fileno()]
        self._epoll.unregister(connection.fileno())

    async def run(self) -> None:
        """Report hang-ups until cancelled."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                for descriptor, _ in self._epoll.poll(0):
                    self._listeners[descriptor]()
        finally:
            self._epoll.close()
