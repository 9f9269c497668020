"""Lock containers, one holder at a time for each.

A set of locks protects one thing that a container has, such as its writable layer: two overlay
mounts that write to one upper directory corrupt it (overlay(5)). Sets don't know of each other.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class ContainerLocks:
    """Keep a lock per container, for as long as it is held or waited for."""

    def __init__(self) -> None:
        self._locks: dict[str, trio.Lock] = {}

    @asynccontextmanager
    async def hold(self, container: str) -> AsyncIterator[None]:
        """Hold a container's lock; waiters get it first come, first served."""
        lock = self._locks.setdefault(container, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            statistics = lock.statistics()
            if not statistics.locked and not statistics.tasks_waiting:
                self._locks.pop(container, None)
