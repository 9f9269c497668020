"""Control connections: the daemon's orders to a monitor, and the monitor's hints to the daemon.

The first connection is born with the monitor; others come through its socket, which only root can reach. A connection that
fails or fills up is dropped: the daemon will come again, and nothing that matters is said here alone.
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
"""One daemon needs one; a second during an upgrade; the rest is for people with tools. The oldest makes room."""

Order = Callable[[Message, list[int]], Message]
"""Carries out a request and takes the descriptors that it uses out of the list."""


class Control:
    """All control connections of one monitor."""

    def __init__(self, loop: Loop, orders: Mapping[str, Order]) -> None:
        self._loop = loop
        self._orders = orders
        self._listener: socket.socket | None = None
        self._path = ""
        self._connections: dict[int, socket.socket] = {}

    def listen(self, directory: str) -> None:
        """Accept connections at the bundle's socket, in place of a dead monitor's."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._path = f"{directory}/{messages.SOCKET_NAME}"
        _unlink(self._path)
        # By a short name: the address of a socket has 108 bytes, unix(7).
        directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        before = os.umask(0o177)
        try:
            listener.bind(f"/proc/self/fd/{directory_fd}/{messages.SOCKET_NAME}")
        finally:
            os.umask(before)
            os.close(directory_fd)
        listener.listen(CONNECTIONS_MAX)
        self._listener = listener
        self._loop.watch(listener.fileno(), READ, self._accept)

    def close_listener(self) -> None:
        """Take the socket away, so that a next monitor can put its own there."""
        if self._listener is not None:
            self._loop.forget(self._listener.fileno())
            self._listener.close()
            self._listener = None
            _unlink(self._path)

    def adopt(self, connection: socket.socket) -> None:
        """Serve a connection."""
        connection.setblocking(False)
        messages.widen(connection)
        if len(self._connections) >= CONNECTIONS_MAX:
            self._drop(next(iter(self._connections)))
        fd = connection.fileno()
        self._connections[fd] = connection
        self._loop.watch(fd, READ, lambda _: self._serve(fd))

    def hint(self, count: int) -> None:
        """Tell everyone that the journal has grown."""
        packet = flat({"journal": count})
        for fd, connection in list(self._connections.items()):
            try:
                connection.send(packet, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                pass  # enough hints lie there unread
            except OSError:
                self._drop(fd)

    def _accept(self, _events: int) -> None:
        assert self._listener is not None
        try:
            self.adopt(self._listener.accept()[0])
        except (BlockingIOError, ConnectionError):
            return  # whoever knocked has gone

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


def _unlink(path: str) -> None:
    try:
        os.unlink(path)  # noqa: PTH108  (lean)
    except FileNotFoundError:
        return
