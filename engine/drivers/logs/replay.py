"""Replay a log to an attaching client, then its live output, without gap or duplicate.

The log is sent while the container goes on writing, until the client has nearly caught up. Then the
client is handed to the monitor, at a gate (``runtime/gates.py``) behind which nothing is said; the
little that the log has gained is sent, and the gate is opened.
"""

import os
from collections.abc import Awaitable, Callable, Iterator

import trio

from engine.drivers.logs.query import LogReader
from engine.ports.streams import Client

NextBlock = Callable[[Iterator[bytes]], Awaitable[bytes | None]]


class Replay:
    """A log on its way to one client."""

    def __init__(self, reader: LogReader, client: Client, next_block: NextBlock) -> None:
        """``next_block`` takes a block in the right place: on a lane of threads."""
        self._reader = reader
        self._next_block = next_block
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(client.connection.dup()))

    async def send_present(self) -> None:
        """What the log has that was not sent yet."""
        blocks = self._reader.blocks()
        while (block := await self._next_block(blocks)) is not None:
            await self._stream.send_all(block)

    def close(self) -> None:
        """Let go of the log and of the connection, which somebody else has, too."""
        self._reader.close()
        self._stream.socket.close()


class Gate:
    """Our end of a gate; entered, it is shut. Only :meth:`open` opens it: leaving alone ends the
    attachment.
    """

    def __enter__(self) -> "Gate":
        self.fd, self._own_fd = os.pipe()
        return self

    def open(self) -> None:
        """Let the client in."""
        os.write(self._own_fd, b"\n")

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
        os.close(self._own_fd)
