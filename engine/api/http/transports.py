"""Send and receive the bytes of a connection, and give the connection away.

A plain socket is read and written directly and not through ``trio.SocketStream``, whose guards
against several tasks in one direction cost a tenth of a short request: here a connection is one
task. Each call that could go on without waiting lets the others run once, except for sending an
answer: behind that the next request is waited for.
"""

import os
from socket import SHUT_WR
from typing import Final, Protocol

import trio

RECEIVE_BYTES: Final = 64 << 10


class Transport(Protocol):
    """One client's connection; ``trio.BrokenResourceError`` says that it is broken."""

    @property
    def socket(self) -> trio.socket.SocketType:
        """Return the socket, to be watched and not to be read."""
        ...

    @property
    def is_plain(self) -> bool:
        """Return whether the socket carries the client's bytes unchanged, so that others can go on
        with it.
        """
        ...

    async def receive(self) -> bytes:
        """Return some bytes; ``b""`` if the client sends no more."""
        ...

    async def send(self, data: bytes) -> None:
        """Send all bytes; wait while the client is slow."""
        ...

    async def send_eof(self) -> None:
        """Announce that nothing more will come; the client may still send."""
        ...


class SocketTransport:
    """A connection without encryption."""

    is_plain: Final = True

    def __init__(self, stream: trio.SocketStream) -> None:
        """``stream`` stays its caller's to close."""
        self._stream = stream
        self.socket: Final = stream.socket
        self._fd = stream.socket.fileno()  # does not block, as all of trio's

    async def receive(self) -> bytes:
        """Return some bytes as soon as there are any."""
        try:
            data = os.read(self._fd, RECEIVE_BYTES)
        except BlockingIOError:
            return await self._receive_later()
        except OSError as broken:
            raise trio.BrokenResourceError from broken
        await trio.lowlevel.cancel_shielded_checkpoint()
        return data

    async def _receive_later(self) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            try:
                return os.read(self._fd, RECEIVE_BYTES)
            except BlockingIOError:  # a spurious wake-up: select(2), BUGS
                continue
            except OSError as broken:
                raise trio.BrokenResourceError from broken

    async def send(self, data: bytes) -> None:
        """Send all bytes, at once if the socket has room."""
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError as broken:
            raise trio.BrokenResourceError from broken
        if sent < len(data):
            with memoryview(data) as left:
                await self._stream.send_all(left[sent:])

    async def send_eof(self) -> None:
        """Close the writing half."""
        try:
            self.socket.shutdown(SHUT_WR)
        except OSError as broken:
            raise trio.BrokenResourceError from broken
