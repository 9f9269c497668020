"""Connect a user's terminal with a container: streams, signals and exit code, in one loop.

    terminal raw? ─┐
    signals ───────┼──▶ poll(2) ──▶ Pump (streams), Wait (exit code), resize, kill
    stdin, socket ─┘

It ends when the streams have ended *and* the exit code is known, or when the detach keys were the
last input before the engine closed the streams: the container goes on, and the client exits.
"""

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator
from typing import Final

from engine.cli import output, terminal
from engine.cli.connection import Connection
from engine.cli.engine import Engine
from engine.cli.failures import Failure
from engine.cli.signals import FATAL, FORWARDED, Killed, SignalPipe, name
from engine.cli.streams import Pump
from engine.cli.waiting import RETRY_S, Wait

_FOREVER: Final = None


class Session:
    """A user's session with one process in a container.

    ``path`` is the process in the API, ``/containers/ID`` or ``/exec/ID``: the target of a resize.
    Signals are forwarded to it if ``forward_signals``, unless the terminal is raw: then its keys
    reach the container directly.
    """

    def __init__(
        self, engine: Engine, path: str, *, tty: bool, stdin: bool, forward_signals: bool
    ) -> None:
        self._engine = engine
        self._path = path
        self._tty = tty
        self._stdin = stdin
        self._raw = tty and stdin and os.isatty(output.STDIN)
        self._forward = forward_signals and not self._raw
        self._guards = contextlib.ExitStack()
        self.detached = False
        """Whether the user sent the detach keys and the engine closed the streams."""
        self._signals: SignalPipe | None = None

    def __enter__(self) -> "Session":
        """From here on, signals are recorded instead of ending the process."""
        caught: set[signal.Signals] = {signal.SIGWINCH} if self._tty else set()
        caught.update(FORWARDED if self._forward else FATAL if self._raw else ())
        self._signals = self._guards.enter_context(SignalPipe(caught))
        return self

    def __exit__(self, *_: object) -> None:
        self._guards.close()

    def take_terminal(self) -> None:
        """Make the terminal raw until the session ends. Called before a start, so that no key is
        lost or echoed twice.
        """
        if self._raw:
            self._guards.enter_context(terminal.raw(output.STDIN))

    def resize(self) -> None:
        """Send the terminal's size to the engine."""
        self._resize(0)

    def redraw(self) -> None:
        """Make the program in the container redraw its screen: a change of size is the only way to
        ask for it.
        """
        self._resize(1)
        self._resize(0)

    def _resize(self, more: int) -> None:
        dimensions = terminal.size(output.STDOUT)
        if not self._tty or dimensions is None:
            return
        query = {"h": str(dimensions[0] + more), "w": str(dimensions[1] + more)}
        # It is not needed if the engine is away, or the process has ended.
        with contextlib.suppress(Failure):
            self._engine.ask("POST", f"{self._path}/resize", query)

    def converse(
        self, connection: Connection | None, wait: Wait | None, detach_keys: bytes
    ) -> int | None:
        """Copy bytes until the end; return the exit code, or None after a detach and without a
        ``wait``.

        Raises:
            Killed: a fatal signal, with a raw terminal.
            Unreachable: the daemon went away and did not come back.
        """
        pump = None
        if connection is not None:
            pump = Pump(connection, framed=not self._tty, with_stdin=self._stdin)
        while True:
            streaming = pump is not None and not pump.ended
            if pump is not None and pump.ended and self._tty and pump.tail.endswith(detach_keys):
                self.detached = True
                return None
            if not streaming and (wait is None or wait.code is not None):
                return wait.code if wait is not None else None
            self._turn(pump, wait)

    def _turn(self, pump: Pump | None, wait: Wait | None) -> None:
        """Wait for an event and handle it."""
        if wait is not None and wait.has_arrived:
            return wait.ready()
        poll, handlers = select.poll(), {}
        for fd, events, handler in self._interests(pump, wait):
            poll.register(fd, events)
            handlers[fd] = handler
        lost = wait is not None and wait.code is None and wait.fd is None
        ready = poll.poll(RETRY_S * 1000 if lost else _FOREVER)
        for fd, events in ready:
            handlers[fd](events)
        if lost and not ready and wait is not None:
            wait.retry()
        return None

    def _interests(
        self, pump: Pump | None, wait: Wait | None
    ) -> Iterator[tuple[int, int, Callable[[int], None]]]:
        if self._signals is not None:
            yield self._signals.fd, select.POLLIN, self._signal_ready
        if wait is not None and wait.code is None and wait.fd is not None:
            yield wait.fd, select.POLLIN, lambda _: wait.ready()
        if pump is not None:
            yield from pump.interests()

    def _signal_ready(self, events: int) -> None:
        del events
        assert self._signals is not None
        for number in self._signals.arrived():
            if number == signal.SIGWINCH:
                self.resize()
            elif self._raw:
                raise Killed(number)
            else:
                self._kill(number)

    def _kill(self, number: int) -> None:
        # A container that has ended meanwhile can't be signalled; its exit code will arrive.
        with contextlib.suppress(Failure):
            self._engine.ask("POST", f"{self._path}/kill", {"signal": name(number)})
