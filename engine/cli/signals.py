"""Receive signals through a pipe that poll(2) can wait on.

The kernel may deliver a signal at any instruction; the loop that copies the bytes handles all
signals in one place.
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
"""Signals that are forwarded to a container's first process when the client has no raw terminal to
restore.
"""
FATAL: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""Signals that end a client with a raw terminal, after restoring it."""

_Handler = Callable[[int, FrameType | None], Any] | int | None  # as signal.signal has it


class Killed(Exception):
    """A fatal signal arrived; the handler of this exception cleans up and then dies of
    ``number``.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class SignalPipe:
    """While entered, the given signals only write bytes that can be read from ``fd``."""

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
        """Return the signals since the last call, in order."""
        try:
            return list(os.read(self.fd, 256))
        except BlockingIOError:
            return []


def _noted(number: int, frame: FrameType | None) -> None:
    """Do nothing: the byte in the wake-up pipe has the signal's number."""


def name(number: int) -> str:
    """Return ``TERM`` for 15, as the API takes it."""
    return signal.Signals(number).name.removeprefix("SIG")
