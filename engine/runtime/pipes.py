"""Hold the monitor's ends of a process's streams: pipes, or the master of its terminal.

Every buffer has a limit; when it is full, the sender waits. Nothing here blocks.
"""

import fcntl
import os
from collections.abc import Callable
from typing import Final

from engine.runtime.loop import READ, WRITE, Loop

INPUT_BUFFER_BYTES_MAX: Final = 64 << 10
"""How much may wait for the process's standard input before its clients have to wait: as much as a
pipe holds.
"""
READ_BYTES_MAX: Final = 64 << 10
READ_BYTES_MIN: Final = 8 << 10
_RETRY_S: Final = 0.1
_TERMINAL_BYTES: Final = 1 << 20
"""More than a pty can hold: TTYB_DEFAULT_MEM_LIMIT of tty_buffer.c is 64 KiB."""


class Input:
    """A process's standard input: a pipe, or the master of its pty (then not ours to close)."""

    def __init__(self, loop: Loop, fd: int, room: Callable[[], None], *, owned: bool) -> None:
        self._loop = loop
        self._fd = fd
        self._room = room
        self._owned = owned
        self._waiting = bytearray()
        self._closing = False
        self._watched = False
        self.closed = False

    @property
    def full(self) -> bool:
        """True if clients have to wait."""
        return len(self._waiting) >= INPUT_BUFFER_BYTES_MAX

    def write(self, typed: bytes) -> None:
        """Pass on what a client sent; discard it if the process no longer reads."""
        if self.closed or self._closing:
            return
        self._waiting += typed
        self._flush()

    def close_when_written(self) -> None:
        """Close after everything that waits is written. A terminal stays open: it has no end of
        file.
        """
        if self._owned:
            self._closing = True
            self._flush()

    def close(self) -> None:
        """Close at once: the process is gone, or has closed its end."""
        if self.closed:
            return
        self.closed = True
        self._waiting = bytearray()
        self._unwatch()
        self._loop.cancel(self)
        if self._owned:
            os.close(self._fd)
        self._room()

    def _flush(self) -> None:
        if self.closed:
            return
        was_full = self.full
        try:
            while self._waiting:
                with memoryview(self._waiting) as view:
                    written = os.write(self._fd, view)
                del self._waiting[:written]
        except BlockingIOError:
            self._watch()
        except OSError:
            self.close()  # EPIPE, or EIO of a pty: the process reads no more
            return
        else:
            self._waiting = bytearray()
            self._unwatch()
            if self._closing:
                self.close()
                return
        if was_full and not self.full:
            self._room()

    # A pty is read and written through one descriptor, which epoll accepts only once: so writing
    # waits on a copy of it.
    def _watch(self) -> None:
        if not self._watched:
            try:
                self._watch_fd = self._fd if self._owned else os.dup(self._fd)
            except OSError:  # EMFILE: tried again, because an exec that ends frees descriptors
                self._loop.call_after(self, _RETRY_S, self._flush)
                return
            self._watched = True
            self._loop.watch(self._watch_fd, WRITE, lambda _: self._flush())

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.forget(self._watch_fd)
            if not self._owned:
                os.close(self._watch_fd)


class Output:
    """A process's output: the reading end of a pipe, or the master of its pty."""

    def __init__(
        self,
        loop: Loop,
        fd: int,
        stream: int,
        received: Callable[[int, bytes], None],
        ended: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._stream = stream
        self._received = received
        self._ended = ended
        self._size = READ_BYTES_MIN
        self._watched = False
        self.closed = False
        self.resume()

    def pause(self) -> None:
        """Stop reading; the process waits when its pipe is full."""
        if self._watched:
            self._watched = False
            self._loop.forget(self._fd)

    def resume(self) -> None:
        """Read again."""
        if not self._watched and not self.closed:
            self._watched = True
            self._loop.watch(self._fd, READ, self._readable)

    def drain(self) -> None:
        """Read what is there. An exited process has written everything before, so there is nothing
        to wait for.

        Reads no more than the pipe holds, because another process may still be writing.
        """
        left = self._capacity()
        while left > 0 and not self.closed:
            taken = self._read()
            if not taken:
                break
            left -= taken

    def _capacity(self) -> int:
        try:
            return fcntl.fcntl(self._fd, fcntl.F_GETPIPE_SZ)
        except OSError:  # EBADF: a pty
            return _TERMINAL_BYTES

    def close(self) -> None:
        """Close the stream."""
        if not self.closed:
            self.pause()
            self.closed = True
            os.close(self._fd)
            self._ended(self._stream)

    def _readable(self, _events: int) -> None:
        self._read()

    def _read(self) -> int:
        try:
            block = os.read(self._fd, self._size)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: no process has the terminal open any more
            block = b""
        if not block:
            self.close()
            return 0
        # Small reads for a quiet container, large ones for a busy one.
        self._size = READ_BYTES_MAX if len(block) >= READ_BYTES_MIN else READ_BYTES_MIN
        self._received(self._stream, block)
        return len(block)
