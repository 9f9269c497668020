"""The streams of one process, and the clients that are attached to them.

::

    client socket ──▶ Client ──▶ Input  ──▶ stdin pipe  │ pty
    client socket ◀── Client ◀──┐
    client socket ◀── Client ◀──┴ Stdio ◀── Output ◀── stdout, stderr pipes │ pty
                                    └──▶ sink (the log)

Clients speak Docker's stream format: without a terminal each block has a header of eight bytes (the stream, three zeroes, the
length as big-endian), with one it is the raw bytes. What a client sends is always raw.

Every buffer has a bound, and behind a full one the sender waits: a container that does not read makes its clients wait, a
client that does not read makes the container wait, though not for ever: one that takes no byte for ten seconds while the
container waits for it is let go, with everybody else's output in mind.

End of file from a client (a half-closed socket) closes the process's standard input when that is this client's to close; on a
terminal, or on an input that outlives its clients, it ends the attachment, as in moby's ``stream/attach.go``.
"""

import errno
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Callable
from typing import Final, Protocol

from engine.runtime import messages
from engine.runtime.loop import HANGUP, READ, WRITE, Loop
from engine.runtime.messages import Attachment

STDOUT: Final = 1
STDERR: Final = 2
STREAM_NAMES: Final = {STDOUT: "stdout", STDERR: "stderr"}

CLIENT_BUFFER_BYTES_MAX: Final = 1 << 20
"""What may wait for one client before the container is made to wait as well."""
CLIENT_PATIENCE_S: Final = 10.0
INPUT_BUFFER_BYTES_MAX: Final = 64 << 10
"""What may wait for the process's standard input before its clients are made to wait: as much as a pipe holds."""
READ_BYTES_MAX: Final = 256 << 10
READ_BYTES_MIN: Final = 8 << 10
_SEND_BYTES_MAX: Final = 256 << 10
_TERMINAL_BYTES: Final = 1 << 20
"""More than a pty ever holds: TTYB_DEFAULT_MEM_LIMIT of tty_buffer.c is 64 KiB."""

_HEADER: Final = struct.Struct(">BxxxI")


def frame_header(stream: int, length: int) -> bytes:
    """What stands before a block of a stream when there is no terminal."""
    return _HEADER.pack(stream, length)


class DetachKeys:
    """Finds the keys that end an attachment, even when they arrive in pieces."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What to pass on to the process, and whether the keys are complete.

        A beginning of the keys is held back until it is clear that it is none.
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
        """Whether clients have to wait."""
        return len(self._waiting) >= INPUT_BUFFER_BYTES_MAX

    def write(self, typed: bytes) -> None:
        """Pass on what a client sent; forgotten when the process no longer reads."""
        if self.closed or self._closing:
            return
        self._waiting += typed
        self._flush()

    def close_when_written(self) -> None:
        """End of file, after everything that waits. A terminal has none to give."""
        if self._owned:
            self._closing = True
            self._flush()

    def close(self) -> None:
        """Stop at once: the process is gone, or has closed its end."""
        if self.closed:
            return
        self.closed = True
        self._waiting = bytearray()
        self._unwatch()
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
            self.close()  # EPIPE, or EIO of a pty: nobody reads any more
            return
        else:
            self._waiting = bytearray()
            self._unwatch()
            if self._closing:
                self.close()
                return
        if was_full and not self.full:
            self._room()

    # A pty is read and written through one descriptor, which epoll knows once: writing waits on a copy of it.
    def _watch(self) -> None:
        if not self._watched:
            self._watched = True
            self._watch_fd = self._fd if self._owned else os.dup(self._fd)
            self._loop.watch(self._watch_fd, WRITE, lambda _: self._flush())

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.forget(self._watch_fd)
            if not self._owned:
                os.close(self._watch_fd)


class Output:
    """What a process writes: the reading end of a pipe, or the master of its pty."""

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
        """Leave the process's output where it is: it will wait."""
        if self._watched:
            self._watched = False
            self._loop.forget(self._fd)

    def resume(self) -> None:
        """Read again."""
        if not self._watched and not self.closed:
            self._watched = True
            self._loop.watch(self._fd, READ, self._readable)

    def drain(self) -> None:
        """Take what is there. Whoever has exited has written it before, so there is nothing to wait for.

        Not more than the pipe holds, for somebody else may still be writing.
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
        """Stop reading."""
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
        except OSError:  # EIO: the last one who had the terminal open is gone
            block = b""
        if not block:
            self.close()
            return 0
        # Small reads for a quiet container, large ones for a chatty one.
        self._size = READ_BYTES_MAX if len(block) >= READ_BYTES_MIN else READ_BYTES_MIN
        self._received(self._stream, block)
        return len(block)


class Sink(Protocol):
    """Where all output goes, clients or none: the log."""

    def write(self, stream: str, block: bytes) -> None:
        """One block, as it was read."""

    def end(self, stream: str) -> None:
        """No more will come on this stream."""


class Client:
    """One attached client: the owner of its socket."""

    def __init__(self, stdio: "Stdio", fd: int, wishes: Attachment) -> None:
        self.wishes = wishes
        self._stdio = stdio
        self._loop = stdio.loop
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._fd = fd
        self._keys = DetachKeys(wishes.detach_keys if stdio.tty else b"")
        self._waiting = bytearray()
        self._reading = True
        self._paused = False
        self._finishing: str | None = None
        self._events = READ
        self.closed = False
        self._loop.watch(fd, READ, self._ready)

    @property
    def full(self) -> bool:
        """Whether the process has to wait for this client."""
        return len(self._waiting) >= CLIENT_BUFFER_BYTES_MAX

    def begin(self) -> None:
        """Pass on what the client sent before we had its socket."""
        if self.wishes.unread:
            self._typed(self.wishes.unread)

    def output(self, stream: int, block: bytes) -> None:
        """Send a block of the process's output, if this client asked for that stream."""
        wanted = self.wishes.stdout if stream == STDOUT else self.wishes.stderr
        if wanted and not self.closed:
            self._send(b"" if self._stdio.tty else frame_header(stream, len(block)), block)

    def pause(self) -> None:
        """Take nothing more from the client: the process does not read."""
        self._paused = True
        self._update()

    def resume(self) -> None:
        """Take input again."""
        self._paused = False
        self._update()

    def finish(self, reason: str) -> None:
        """Close, once the client has taken what waits for it."""
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
        self._stdio.client_closed(self, reason)

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
            )  # its last words are still unread; look again when there is room
            self._events = 0
        else:
            self.close(self._finishing or messages.EOF)

    def _read(self) -> None:
        try:
            typed = self._socket.recv(INPUT_BUFFER_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            self.close(messages.EOF)
            return
        if typed:
            self._typed(typed)
        else:
            self._end_of_input()

    def _typed(self, typed: bytes) -> None:
        if not self.wishes.stdin:
            return
        passed, detached = self._keys.feed(typed)
        if passed:
            self._stdio.typed(passed)
        if detached:
            self.finish(messages.DETACHED)

    def _end_of_input(self) -> None:
        self._reading = False
        if self.wishes.stdin and not self._stdio.input_ended():
            self.finish(messages.EOF)
        else:
            self._update()

    def _send(self, header: bytes, block: bytes) -> None:
        if not self._waiting:
            try:
                sent = self._socket.sendmsg([header, block], (), messages.NO_SIGNAL)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close(messages.EOF)
                return
            if sent == len(header) + len(block):
                return
            header, block = header[sent:], block[max(0, sent - len(header)) :]
            self._loop.call_after(self, CLIENT_PATIENCE_S, self._out_of_patience)
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
            self.close(messages.EOF)
            return
        was_full = self.full
        del self._waiting[:sent]
        if self._waiting:
            self._loop.call_after(self, CLIENT_PATIENCE_S, self._out_of_patience)
        else:
            self._waiting = bytearray()
            self._loop.cancel(self)
        if was_full and not self.full:
            self._stdio.client_has_room()
        self._settle()

    def _out_of_patience(self) -> None:
        """No byte was taken for a while: a nuisance only if somebody waits."""
        if self.full or self._finishing is not None:
            self.close(messages.SLOW)
        else:
            self._loop.call_after(self, CLIENT_PATIENCE_S, self._out_of_patience)

    def _settle(self) -> None:
        if self._finishing is not None and not self._waiting:
            self.close(self._finishing)
        else:
            self._update()

    def _update(self) -> None:
        """Tell the loop what this client waits for."""
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


class Stdio:
    """The streams of one process: the container's first, or an exec."""

    def __init__(
        self,
        loop: Loop,
        *,
        tty: bool,
        closes_input: bool,
        sink: Sink | None,
        detached: Callable[[Attachment, str], None],
    ) -> None:
        """``closes_input``: a client's end of file is the process's. ``detached`` is told of each client that went, and why."""
        self.loop = loop
        self.tty = tty
        self._closes_input = closes_input and not tty
        self._sink = sink
        self._detached = detached
        self._input: Input | None = None
        self._outputs: dict[int, Output] = {}
        self._clients: list[Client] = []
        self._master_fd: int | None = None
        self._early = bytearray()
        self._early_end = False
        self._takes_input = True
        self._size: tuple[int, int] | None = None

    def open_pipes(
        self, stdin_fd: int | None, stdout_fd: int | None, stderr_fd: int | None
    ) -> None:
        """Begin with the monitor's ends of three pipes; a missing one is /dev/null on the other side."""
        for stream, fd in ((STDOUT, stdout_fd), (STDERR, stderr_fd)):
            if fd is not None:
                os.set_blocking(fd, False)
                self._open_output(fd, stream)
        if stdin_fd is not None:
            os.set_blocking(stdin_fd, False)
            self._input = Input(self.loop, stdin_fd, self._input_has_room, owned=True)
        self._pass_on_early()

    def open_terminal(self, master_fd: int) -> None:
        """Begin with the master of a pty."""
        os.set_blocking(master_fd, False)
        self._master_fd = master_fd
        self._input = Input(self.loop, master_fd, self._input_has_room, owned=False)
        if self._size is not None:
            self.resize(*self._size)
        self._open_output(master_fd, STDOUT)
        self._pass_on_early()

    def refuse_input(self) -> None:
        """This process has no standard input: what clients send is read and forgotten."""
        self._takes_input = False

    def attach(self, fd: int, wishes: Attachment) -> None:
        """Take over a client's socket."""
        client = Client(self, fd, wishes)
        self._clients.append(client)
        client.begin()

    def resize(self, height: int, width: int) -> None:
        """Tell the terminal its size in characters, once there is one; SIGWINCH follows. ioctl_tty(2).

        Raises:
            OSError: ENOTTY without a terminal.
        """
        if not self.tty:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        self._size = (height, width)
        if self._master_fd is None:
            return
        fcntl.ioctl(self._master_fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def tell(self, text: bytes) -> None:
        """Say something to the clients that the process did not say itself."""
        for client in list(self._clients):
            client.output(STDOUT, text)

    def typed(self, typed: bytes) -> None:
        """A client sent input."""
        if not self._takes_input:
            return
        if self._input is None:
            self._early += typed
        else:
            self._input.write(typed)
        self._throttle_clients()

    def input_ended(self) -> bool:
        """A client sends no more; False when that ends its attachment."""
        if not self._closes_input:
            return False
        if self._input is None:
            self._early_end = True
        else:
            self._input.close_when_written()
        return True

    def client_closed(self, client: Client, reason: str) -> None:
        """A client is gone; its socket is closed already."""
        self._clients.remove(client)
        if client.wishes.stdin and reason in (messages.EOF, messages.SLOW):
            self.input_ended()
        self.client_has_room()
        self._detached(client.wishes, reason)

    def client_has_room(self) -> None:
        """Go on reading the process's output if nobody is behind any more."""
        if not any(client.full for client in self._clients):
            for output in self._outputs.values():
                output.resume()

    def drain(self) -> None:
        """Take what an exited process has left behind, and close its side."""
        for output in list(self._outputs.values()):
            output.drain()
            output.close()
        if self._input is not None:
            self._input.close()
        self._master_fd = None

    def finish(self, reason: str) -> None:
        """Let every client go once it has taken everything."""
        for client in list(self._clients):
            client.finish(reason)

    def _open_output(self, fd: int, stream: int) -> None:
        self._outputs[stream] = Output(self.loop, fd, stream, self._received, self._output_ended)

    def _received(self, stream: int, block: bytes) -> None:
        if self._sink is not None:
            self._sink.write(STREAM_NAMES[stream], block)
        behind = False
        for client in list(self._clients):
            client.output(stream, block)
            behind = behind or client.full
        if behind:
            for output in self._outputs.values():
                output.pause()

    def _output_ended(self, stream: int) -> None:
        del self._outputs[stream]
        if self._sink is not None:
            self._sink.end(STREAM_NAMES[stream])

    def _pass_on_early(self) -> None:
        early, self._early = bytes(self._early), bytearray()
        if early:
            self.typed(early)
        if self._early_end:
            self.input_ended()
        if not self._input_full():
            self._input_has_room()

    def _input_has_room(self) -> None:
        for client in self._clients:
            client.resume()

    def _throttle_clients(self) -> None:
        if self._input_full():
            for client in self._clients:
                client.pause()

    def _input_full(self) -> bool:
        if self._input is None:
            return len(self._early) >= INPUT_BUFFER_BYTES_MAX
        return self._input.full
