"""Copy the output of one process to its log and its clients, and their input to it.

::

    client socket ──▶ Client ──▶ Input  ──▶ stdin pipe  │ pty
    client socket ◀── Client ◀──┐
    client socket ◀── Client ◀──┴ Stdio ◀── Output ◀── stdout, stderr pipes │ pty
                                    └──▶ sink (the log)

A container that does not read makes its clients wait, a client that does not read makes the
container wait: ``clients.py`` says for how long.

End of file from a client (a half-closed socket) closes the process's standard input if that ends
with this client; on a terminal, or on an input that outlives its clients, it ends the attachment,
as in moby's ``stream/attach.go``.
"""

import errno
import fcntl
import os
import struct
import termios
from collections.abc import Callable
from typing import Final, Protocol

from engine.runtime.clients import STDERR, STDOUT, Client
from engine.runtime.facts import EOF, SLOW
from engine.runtime.loop import Loop
from engine.runtime.messages import Attachment
from engine.runtime.pipes import INPUT_BUFFER_BYTES_MAX, Input, Output
from engine.runtime.replay_barrier import ReplayBarrier

STREAM_NAMES: Final = {STDOUT: "stdout", STDERR: "stderr"}


class Sink(Protocol):
    """Receives all output, with or without clients: the log."""

    def write(self, stream: str, block: bytes) -> None:
        """Take one block, as it was read."""

    def end(self, stream: str) -> None:
        """Take the end of a stream."""

    def unended(self, stream: str) -> bytes:
        """Return the beginning of a line that is kept back until the line ends."""


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
        """Store the settings. ``closes_input``: a client's end of file closes the process's input.
        ``detached`` is called with each client that went, and the reason.
        """
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
        self._barrier = ReplayBarrier(loop)

    def open_pipes(
        self, stdin_fd: int | None, stdout_fd: int | None, stderr_fd: int | None
    ) -> None:
        """Begin with the monitor's ends of three pipes; where one is None, the process has
        /dev/null.
        """
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
        """Discard what clients send: this process has no standard input."""
        self._takes_input = False

    def attach(self, fd: int, attachment: Attachment, barrier_fd: int | None = None) -> None:
        """Take over a client's socket. With a barrier, no output is read until it is opened."""
        client = Client(self, fd, attachment)
        self._clients.append(client)
        if barrier_fd is not None:
            self._barrier.add(client, barrier_fd, self._barrier_opened)
            self._pause_outputs()
        client.begin()

    def when_open(self, callback: Callable[[], None]) -> None:
        """Call back once no client waits at a barrier: until then the rest of the output must not
        be read.
        """
        self._barrier.when_open(callback)

    def _barrier_opened(self, client: Client) -> None:
        """Send a client what the log does not have yet, and resume the output."""
        if self._sink is not None:
            for stream, name in STREAM_NAMES.items():
                if unended := self._sink.unended(name):
                    client.output(stream, unended)
        self.client_has_room()

    def resize(self, height: int, width: int) -> None:
        """Set the terminal's size in characters, once there is a terminal; SIGWINCH follows.
        ioctl_tty(2).

        Raises:
            OSError: ENOTTY without a terminal.
        """
        if not self.tty:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        self._size = (height, width)
        if self._master_fd is None:
            return
        fcntl.ioctl(self._master_fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def write_to_clients(self, text: bytes) -> None:
        """Send the clients a message that the process did not write."""
        for client in list(self._clients):
            client.output(STDOUT, text)

    def typed(self, typed: bytes) -> None:
        """Take input from a client."""
        if not self._takes_input:
            return
        if self._input is None:
            self._early += typed
        else:
            self._input.write(typed)
        self._throttle_clients()

    def input_ended(self) -> bool:
        """Take a client's end of input; return False if that ends its attachment."""
        if not self._closes_input:
            return False
        if self._input is None:
            self._early_end = True
        else:
            self._input.close_when_written()
        return True

    def client_closed(self, client: Client, reason: str) -> None:
        """Remove a client whose socket is already closed."""
        self._clients.remove(client)
        if client.attachment.stdin and reason in (EOF, SLOW):
            self.input_ended()
        self._barrier.forget(client)
        self.client_has_room()
        self._detached(client.attachment, reason)

    def client_has_room(self) -> None:
        """Resume the process's output if no client is behind any more."""
        if not self._barrier.any_shut and not any(client.full for client in self._clients):
            for output in self._outputs.values():
                output.resume()

    def drain(self) -> None:
        """Read the rest of an exited process's output, and close its streams."""
        for output in list(self._outputs.values()):
            output.drain()
            output.close()
        if self._input is not None:
            self._input.close()
            self._input, self._takes_input = None, False  # no cycle is left to be collected
        self._master_fd = None

    def finish(self, reason: str) -> None:
        """Close every client once it has taken all output."""
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
            self._pause_outputs()

    def _pause_outputs(self) -> None:
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
