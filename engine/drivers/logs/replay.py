"""Replay a log to an attaching client, then its live output, without gap or duplicate.

The log is sent while the container goes on writing, until the client has nearly caught up. Then the
client is handed to the monitor with a barrier (``runtime/replay_barrier.py``) that holds back live
output; the few new bytes of the log are sent, and the barrier is removed.
"""

import os
from collections.abc import Awaitable, Callable, Iterator

import trio

from engine.drivers.logs.query import LogReader
from engine.ports.streams import Client

NextBlock = Callable[[Iterator[bytes]], Awaitable[bytes | None]]


class Replay:
    """Sends a log to one client."""

    def __init__(self, reader: LogReader, client: Client, next_block: NextBlock) -> None:
        """``next_block`` takes a block on a thread of a lane."""
        self._reader = reader
        self._next_block = next_block
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(client.connection.dup()))

    async def send_present(self) -> None:
        """Send what the log has that was not sent yet."""
        blocks = self._reader.blocks()
        while (block := await self._next_block(blocks)) is not None:
            await self._stream.send_all(block)

    def close(self) -> None:
        """Close the log and our copy of the connection."""
        self._reader.close()
        self._stream.socket.close()


class Barrier:
    """Our end of a replay barrier, closed on entering the block. Only :meth:`open` opens it:
    leaving the block without that ends the attachment.
    """

    def __enter__(self) -> "Barrier":
        self.fd, self._own_fd = os.pipe()
        return self

    def open(self) -> None:
        """Let live output reach the client."""
        os.write(self._own_fd, b"\n")

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
        os.close(self._own_fd)
