"""Delay an attaching client until the log has been replayed to it.

Output of the process is not read meanwhile, so the client neither misses nor repeats any of it. The
client comes with a barrier: one end of a pipe. While any barrier is closed, no output is read and
the log does not grow. A byte in the pipe opens the barrier. If the pipe is closed without a byte
(the daemon died during the replay), the attachment ends, because a part of the log must not pass
for all of it. If the barrier stays closed for too long, the attachment ends as well, because the
process is waiting.
"""

import os
from collections.abc import Callable
from typing import Final

from engine.runtime.clients import Client
from engine.runtime.facts import EOF, SLOW
from engine.runtime.loop import READ, Loop

BARRIER_PATIENCE_S: Final = 10.0
"""Time limit for a replay: the same as for a client that takes nothing while the process waits for
it.
"""


class ReplayBarrier:
    """The clients of one process that wait for the end of their replay."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._shut: dict[int, Client] = {}
        self._waiting: list[Callable[[], None]] = []

    @property
    def any_shut(self) -> bool:
        """True if the process's output must not be read."""
        return bool(self._shut)

    def add(self, client: Client, barrier_fd: int, opened: Callable[[Client], None]) -> None:
        """Delay a client until its barrier opens; then call back with it. Owns the descriptor."""
        self._shut[barrier_fd] = client
        self._loop.watch(barrier_fd, READ, lambda _: self._moved(barrier_fd, opened))
        self._loop.call_after(
            ("barrier", barrier_fd),
            BARRIER_PATIENCE_S,
            lambda: self._give_up(barrier_fd, SLOW),
        )

    def forget(self, client: Client) -> None:
        """Forget a client that has gone by itself."""
        for barrier_fd, waiting in list(self._shut.items()):
            if waiting is client:
                self._remove(barrier_fd)
        self._all_open()

    def when_open(self, callback: Callable[[], None]) -> None:
        """Call back once no barrier is closed: at once, if none is."""
        self._waiting.append(callback)
        self._all_open()

    def _moved(self, barrier_fd: int, opened: Callable[[Client], None]) -> None:
        if not os.read(barrier_fd, 1):
            self._give_up(barrier_fd, EOF)
            return
        opened(self._remove(barrier_fd))
        self._all_open()

    def _give_up(self, barrier_fd: int, reason: str) -> None:
        self._remove(barrier_fd).close(reason)
        self._all_open()

    def _remove(self, barrier_fd: int) -> Client:
        self._loop.cancel(("barrier", barrier_fd))
        self._loop.forget(barrier_fd)
        os.close(barrier_fd)
        return self._shut.pop(barrier_fd)

    def _all_open(self) -> None:
        while self._waiting and not self._shut:
            self._waiting.pop(0)()
