"""Receive the daemon's orders on a monitor's control connections, and send hints back.

The first connection exists from the launch on; others come through its socket, which only root can
reach. A connection that fails or fills up is dropped: the daemon connects again, and everything
that matters is in the journal.
"""

import os
import socket
from collections.abc import Callable, Mapping
from typing import Final

from engine.runtime import messages
from engine.runtime.json_text import flat
from engine.runtime.loop import READ, Loop
from engine.runtime.messages import Message, ProtocolError

CONNECTIONS_MAX: Final = 8
"""One daemon needs one connection, a second during an upgrade; the rest is for debugging. A new
connection replaces the oldest beyond this.
"""

Order = Callable[[Message, list[int]], Message]
"""Carries out a request; removes the descriptors that it keeps from the list."""


class Control:
    """All control connections of one monitor."""

    def __init__(self, loop: Loop, orders: Mapping[str, Order]) -> None:
        self._loop = loop
        self._orders = orders
        self._listener_fd = -1
        self._path = ""
        self._connections: dict[int, socket.SocketType] = {}

    def listen(self, listener_fd: int, path: str) -> None:
        """Accept connections; ``path`` is where the listener is bound."""
        self._listener_fd, self._path = listener_fd, path
        self._loop.watch(listener_fd, READ, self._accept)

    def close_listener(self) -> None:
        """Remove the socket, so that a next monitor can bind its own."""
        self._loop.forget(self._listener_fd)
        os.close(self._listener_fd)
        try:
            os.unlink(self._path)  # noqa: PTH108  (lean)
        except FileNotFoundError:
            return

    def adopt(self, connection: socket.SocketType) -> None:
        """Serve a connection."""
        connection.setblocking(False)
        messages.widen(connection)
        if len(self._connections) >= CONNECTIONS_MAX:
            self._drop(next(iter(self._connections)))
        fd = connection.fileno()
        self._connections[fd] = connection
        self._loop.watch(fd, READ, lambda _: self._serve(fd))

    def hint(self, count: int) -> None:
        """Report to all connections that the journal has grown."""
        packet = flat({"journal": count})
        for fd, connection in list(self._connections.items()):
            try:
                connection.send(packet, messages.NO_SIGNAL)
            except BlockingIOError:
                pass  # hints are unread already
            except OSError:
                self._drop(fd)

    def _accept(self, _events: int) -> None:
        listener = socket.socket(fileno=self._listener_fd)
        try:
            self.adopt(listener.accept()[0])
        except (BlockingIOError, ConnectionError):
            return  # the client has gone
        finally:
            listener.detach()

    def _drop(self, fd: int) -> None:
        self._loop.forget(fd)
        self._connections.pop(fd).close()

    def _serve(self, fd: int) -> None:
        connection = self._connections[fd]
        try:
            received = messages.receive(connection)
            if received is None:
                self._drop(fd)
                return
            messages.send(connection, self._answer(*received))
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            if fd in self._connections:
                self._drop(fd)

    def _answer(self, request: Message, fds: list[int]) -> Message:
        order = self._orders.get(str(request.get("op")))
        try:
            if order is None:
                return {"error": f"no such operation: {request.get('op')}", "errno": 0}
            return order(request, fds)
        except OSError as error:
            return {"error": error.strerror or str(error), "errno": error.errno}
        except (ProtocolError, LookupError, TypeError, ValueError) as error:
            return {"error": str(error), "errno": 0}
        finally:
            messages.close_all(fds)
