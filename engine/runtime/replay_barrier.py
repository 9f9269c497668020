"""Delay an attaching client until the log has been replayed to it.

Output of the process is not read meanwhile, so the client neither misses nor repeats any of it. The
client comes with a gate: one end of a pipe. As long as one gate is shut, nothing is read of the
process and the log does not grow. A byte opens the gate. A gate that closes without a byte (its
owner has died during the replay) ends the attachment: a part of the log must not pass for all of
it. A gate that stays shut for too long ends it as well, because the process is waiting.
"""

import os
from collections.abc import Callable
from typing import Final

from engine.runtime import messages
from engine.runtime.clients import Client
from engine.runtime.loop import READ, Loop

GATE_PATIENCE_S: Final = 10.0
"""As much as a client has that takes nothing while the process waits for it."""


class ReplayBarrier:
    """The clients of one process that wait for the end of their replay."""

    def __init__(self, loop: Loop, opened: Callable[[Client], None]) -> None:
        """``opened`` is told of each client that is let in."""
        self._loop = loop
        self._opened = opened
        self._shut: dict[int, Client] = {}
        self._waiting: list[Callable[[], None]] = []

    @property
    def any_shut(self) -> bool:
        """Whether the process's output has to stand still."""
        return bool(self._shut)

    def add(self, client: Client, gate_fd: int) -> None:
        """Keep a client waiting at a gate, which becomes ours."""
        self._shut[gate_fd] = client
        self._loop.watch(gate_fd, READ, lambda _: self._moved(gate_fd))
        self._loop.call_after(
            ("gate", gate_fd), GATE_PATIENCE_S, lambda: self._give_up(gate_fd, messages.SLOW)
        )

    def forget(self, client: Client) -> None:
        """A client has gone by itself."""
        for gate_fd, waiting in list(self._shut.items()):
            if waiting is client:
                self._remove(gate_fd)
        self._all_open()

    def when_open(self, callback: Callable[[], None]) -> None:
        """Call back once no gate is shut: now, if none is."""
        self._waiting.append(callback)
        self._all_open()

    def _moved(self, gate_fd: int) -> None:
        if not os.read(gate_fd, 1):
            self._give_up(gate_fd, messages.EOF)
            return
        self._opened(self._remove(gate_fd))
        self._all_open()

    def _give_up(self, gate_fd: int, reason: str) -> None:
        self._remove(gate_fd).close(reason)
        self._all_open()

    def _remove(self, gate_fd: int) -> Client:
        self._loop.cancel(("gate", gate_fd))
        self._loop.forget(gate_fd)
        os.close(gate_fd)
        return self._shut.pop(gate_fd)

    def _all_open(self) -> None:
        while self._waiting and not self._shut:
            self._waiting.pop(0)()
