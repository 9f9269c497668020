"""Send a process's output to an attached client, in Docker's stream format.

Without a terminal each block of output has a header of eight bytes (the stream, three zeroes, the
length as big-endian); with a terminal it is sent raw. What a client sends is always raw.

A client that does not read makes the process wait, but with a limit: one that takes no byte for ten
seconds while the process waits for it is disconnected, so that others get their output. A client
that only falls behind is not.
"""

import socket
import struct
from typing import Final, Protocol

from engine.runtime import messages
from engine.runtime.facts import DETACHED, EOF, SLOW
from engine.runtime.loop import HANGUP, READ, WRITE, Loop
from engine.runtime.messages import Attachment

STDOUT: Final = 1
STDERR: Final = 2

CLIENT_BUFFER_BYTES_MAX: Final = 1 << 20
"""How much may wait for one client before the process has to wait as well."""
CLIENT_PATIENCE_S: Final = 10.0
_RECEIVE_BYTES_MAX: Final = 64 << 10
_SEND_BYTES_MAX: Final = 256 << 10
_HEADER: Final = struct.Struct(">BxxxI")


def frame_header(stream: int, length: int) -> bytes:
    """Return the header of a block of a stream, for use without a terminal."""
    return _HEADER.pack(stream, length)


class DetachKeys:
    """Finds the keys that end an attachment, even if they arrive in pieces."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """Return the bytes to pass on to the process, and whether the keys are complete.

        A prefix of the keys is held back until it is clear that they don't follow.
        """
        keys = self._keys
        if not keys:
            return typed, False
        text = keys[: self._matched] + typed
        found = text.find(keys)
        if found >= 0:
            return text[:found], True
        self._matched = next(
            length
            for length in range(min(len(keys) - 1, len(text)), -1, -1)
            if text.endswith(keys[:length])
        )
        return text[: len(text) - self._matched], False


class Served(Protocol):
    """The process that a client is attached to, as the client sees it."""

    loop: Loop
    tty: bool

    def typed(self, typed: bytes) -> None:
        """Take input from a client."""

    def input_ended(self) -> bool:
        """Take a client's end of input; return False if that ends its attachment."""

    def client_closed(self, client: "Client", reason: str) -> None:
        """Remove a client whose socket is already closed."""

    def client_has_room(self) -> None:
        """Continue after a client's full buffer has room again."""


class Client:
    """One attached client; owns its socket."""

    def __init__(self, process: Served, fd: int, attachment: Attachment) -> None:
        self.attachment = attachment
        self._process = process
        self._loop = process.loop
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._fd = fd
        self._keys = DetachKeys(attachment.detach_keys if process.tty else b"")
        self._waiting = bytearray()
        self._reading = True
        self._paused = False
        self._finishing: str | None = None
        self._events = READ
        self.closed = False
        self._loop.watch(fd, READ, self._ready)

    @property
    def full(self) -> bool:
        """True if the process has to wait for this client."""
        return len(self._waiting) >= CLIENT_BUFFER_BYTES_MAX

    def begin(self) -> None:
        """Pass on what the client sent before the monitor had its socket."""
        if self.attachment.unread:
            self._typed(self.attachment.unread)

    def output(self, stream: int, block: bytes) -> None:
        """Send a block of the process's output, if this client asked for that stream."""
        wanted = self.attachment.stdout if stream == STDOUT else self.attachment.stderr
        if wanted and not self.closed:
            framed = not (self._process.tty or self.attachment.raw)
            self._send(frame_header(stream, len(block)) if framed else b"", block)

    def pause(self) -> None:
        """Take no more input from the client, because the process does not read."""
        self._paused = True
        self._update()

    def resume(self) -> None:
        """Take input from the client again."""
        self._paused = False
        self._update()

    def finish(self, reason: str) -> None:
        """Close once the client has taken all pending output."""
        if not self.closed and self._finishing is None:
            self._finishing = reason
            self._reading = False
            self._settle()

    def close(self, reason: str) -> None:
        """Close now."""
        if self.closed:
            return
        self.closed = True
        self._loop.cancel(self)
        self._loop.forget(self._fd)
        self._waiting = bytearray()
        self._socket.close()
        self._process.client_closed(self, reason)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if not self.closed and self._reading and not self._paused and events & (READ | HANGUP):
            self._read()
        elif not self.closed and events & HANGUP:
            self._hung_up()

    def _hung_up(self) -> None:
        if self._paused and self._reading:
            self._loop.forget(
                self._fd
            )  # input is unread; the loop watches it again when there is room
            self._events = 0
        else:
            self.close(self._finishing or EOF)

    def _read(self) -> None:
        try:
            typed = self._socket.recv(_RECEIVE_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            self.close(EOF)
            return
        if typed:
            self._typed(typed)
        else:
            self._end_of_input()

    def _typed(self, typed: bytes) -> None:
        if not self.attachment.stdin:
            return
        passed, detached = self._keys.feed(typed)
        if passed:
            self._process.typed(passed)
        if detached:
            self.finish(DETACHED)

    def _end_of_input(self) -> None:
        self._reading = False
        if self.attachment.stdin and not self._process.input_ended():
            self.finish(EOF)
        else:
            self._update()

    def _send(self, header: bytes, block: bytes) -> None:
        if not self._waiting:
            try:
                sent = self._socket.sendmsg([header, block], (), messages.NO_SIGNAL)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close(EOF)
                return
            if sent == len(header) + len(block):
                return
            header, block = header[sent:], block[max(0, sent - len(header)) :]
            self._loop.call_after(self, CLIENT_PATIENCE_S, self._timed_out)
        self._waiting += header
        self._waiting += block
        self._update()

    def _flush(self) -> None:
        try:
            with memoryview(self._waiting) as view:
                sent = self._socket.send(view[:_SEND_BYTES_MAX], messages.NO_SIGNAL)
        except BlockingIOError:
            return
        except OSError:
            self.close(EOF)
            return
        was_full = self.full
        del self._waiting[:sent]
        if self._waiting:
            self._loop.call_after(self, CLIENT_PATIENCE_S, self._timed_out)
        else:
            self._waiting = bytearray()
            self._loop.cancel(self)
        if was_full and not self.full:
            self._process.client_has_room()
        self._settle()

    def _timed_out(self) -> None:
        """Close the client if the process waits for it; otherwise wait again."""
        if self.full or self._finishing is not None:
            self.close(SLOW)
        else:
            self._loop.call_after(self, CLIENT_PATIENCE_S, self._timed_out)

    def _settle(self) -> None:
        if self._finishing is not None and not self._waiting:
            self.close(self._finishing)
        else:
            self._update()

    def _update(self) -> None:
        """Update the events that the loop watches for this client."""
        if self.closed:
            return
        events = (READ if self._reading and not self._paused else 0) | (
            WRITE if self._waiting else 0
        )
        if events == self._events:
            return
        if self._events == 0:
            self._loop.forget(self._fd)
            self._loop.watch(self._fd, events, self._ready)
        else:
            self._loop.change(self._fd, events)
        self._events = events
