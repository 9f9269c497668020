"""Receive signals through a pipe that poll(2) can wait on.

The kernel may deliver at any instruction; what to do about it is decided at one place, in the loop
that moves the bytes.
"""

import os
import signal
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any, Final, Self

FORWARDED: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGTERM,
    signal.SIGTSTP,
    signal.SIGCONT,
)
"""What goes on to a container's first process when the client has no terminal to guard."""
FATAL: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""What ends a client that does guard one, after restoring it."""

_Handler = Callable[[int, FrameType | None], Any] | int | None  # as signal.signal has it


class Killed(Exception):
    """A fatal signal arrived; whoever catches this cleans up and then dies of ``number``."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class SignalPipe:
    """While entered, the given signals do nothing but become bytes to read from ``fd``."""

    def __init__(self, caught: Iterable[signal.Signals]) -> None:
        self._caught = tuple(caught)
        self._before: dict[signal.Signals, _Handler] = {}
        self.fd, self._write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        self._wakeup_before = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _noted) for number in self._caught}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self.fd)
        os.close(self._write_fd)

    def arrived(self) -> list[int]:
        """The signals since the last call, in order."""
        try:
            return list(os.read(self.fd, 256))
        except BlockingIOError:
            return []


def _noted(number: int, frame: FrameType | None) -> None:
    """Caught: the byte in the wake-up pipe says the rest."""


def name(number: int) -> str:
    """``TERM`` for 15, as the API takes it."""
    return signal.Signals(number).name.removeprefix("SIG")
