"""Copy bytes between the user and a container.

    stdin ──▶ pending ──▶ socket ──▶ (frames, unless a terminal) ──▶ stdout, stderr

One thread and poll(2). Nothing is read until the last block is written, so the memory stays small
whichever side is slow. Without a terminal the engine's side is multiplexed, 8 bytes before each
piece (API, ``ContainerAttach``):

    | stream: 0 stdin, 1 stdout, 2 stderr, 3 the engine's error | 0 0 0 | length, big endian |
"""

import os
import select
import socket
from collections.abc import Callable, Iterator
from typing import Final

from engine.cli import output
from engine.cli.connection import Connection
from engine.cli.failures import Failure

_BLOCK_BYTES: Final = 65536
_HEADER_BYTES: Final = 8
_ENGINE_ERROR: Final = 3
_GONE: Final = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Demultiplexer:
    """Splits received bytes into pieces with their descriptors; a piece need not be a whole
    frame.
    """

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._left = 0

    def feed(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield what ``block`` adds to each stream.

        Raises:
            Failure: the stream is invalid, or the engine reports an error in it.
        """
        position = 0
        while position < len(block):
            if not self._left:
                position = self._take_header(block, position)
                continue
            piece = block[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            if self._stream == _ENGINE_ERROR:
                raise Failure(f"error from daemon in stream: {piece.decode(errors='replace')}")
            yield (output.STDERR if self._stream == output.STDERR else output.STDOUT), piece

    def _take_header(self, block: bytes, position: int) -> int:
        wanted = _HEADER_BYTES - len(self._header)
        self._header += block[position : position + wanted]
        if len(self._header) == _HEADER_BYTES:
            self._stream, self._left = self._header[0], int.from_bytes(self._header[4:])
            if self._stream > _ENGINE_ERROR:
                raise Failure(f"Unrecognized input header: {self._stream}")
            self._header = b""
        return position + wanted


class Pump:
    """The state of one attached connection; another loop polls and calls it."""

    def __init__(self, connection: Connection, *, framed: bool, with_stdin: bool) -> None:
        self.socket = connection.socket
        self._demultiplexer = Demultiplexer() if framed else None
        self._pending = b""
        self.ended = False
        """Whether the engine has closed its side, so that no more will come."""
        self._stdin_open = with_stdin
        self._half_closed = not with_stdin
        self.tail = b""
        """The last few bytes that were sent, to distinguish a detach from an end."""
        self._deliver(connection.unread)
        connection.unread = b""
        self.socket.setblocking(False)

    def interests(self) -> Iterator[tuple[int, int, Callable[[int], None]]]:
        """Yield what to poll for, and the function to call."""
        if self.ended:
            return
        writing = select.POLLOUT if self._pending else 0
        yield self.socket.fileno(), select.POLLIN | writing, self._socket_ready
        if self._stdin_open and not self._pending:
            yield output.STDIN, select.POLLIN, self._stdin_ready

    def _socket_ready(self, ready: int) -> None:
        if ready & select.POLLOUT and self._pending:
            self._send()
        if ready & (select.POLLIN | _GONE):
            self._receive()

    def _receive(self) -> None:
        try:
            block = self.socket.recv(_BLOCK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            block = b""  # a reset is an end, too: the wait has the exit code
        self.ended = not block
        self._deliver(block)

    def _deliver(self, block: bytes) -> None:
        if self._demultiplexer is None:
            output.write_bytes(output.STDOUT, block)
            return
        for fd, piece in self._demultiplexer.feed(block):
            output.write_bytes(fd, piece)

    def _stdin_ready(self, ready: int) -> None:
        del ready  # read(2) reports any error
        try:
            self._pending = os.read(output.STDIN, _BLOCK_BYTES)
        except OSError:
            self._pending = b""
        if self._pending:
            self.tail = (self.tail + self._pending)[-64:]
            self._send()
        else:
            self._stdin_open = False
            self._half_close()

    def _send(self) -> None:
        try:
            sent = self.socket.send(self._pending, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return
        except OSError:
            self._stdin_open, self._pending = (
                False,
                b"",
            )  # the container reads no more; keep receiving
            return
        self._pending = self._pending[sent:]

    def _half_close(self) -> None:
        """Send the end of input: the container sees it, and its output still comes. shutdown(2)."""
        if not self._half_closed:
            self._half_closed = True
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.ended = True
