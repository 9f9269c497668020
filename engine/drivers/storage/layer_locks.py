"""Lock a container's writable layer for one writer at a time.

Two overlay mounts that write to one upper directory spoil it, overlay(5). So a copy into a
container and the launch of its next run exclude each other, and so do a copy and the removal. A
copy has its tar on the disk before it begins: it is never its client that a start waits for.
Reading excludes nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from engine.domain.ids import ContainerId


class Uppers:
    """The locks, which exist while somebody wants one."""

    def __init__(self) -> None:
        self._locks: dict[ContainerId, trio.Lock] = {}

    @asynccontextmanager
    async def alone(self, container: ContainerId) -> AsyncIterator[None]:
        """Be the only one, in the order of asking."""
        lock = self._locks.setdefault(container, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            statistics = lock.statistics()
            if not statistics.locked and not statistics.tasks_waiting:
                self._locks.pop(container, None)
