"""Lock containers, one holder at a time for each.

A set of locks protects one thing that a container has, such as its writable layer: two overlay
mounts that write to one upper directory corrupt it (overlay(5)). Sets don't know of each other.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import trio


@dataclass(slots=True)
class _Lock:
    """The lock of one container. A semaphore may be released by any task."""

    free: trio.Semaphore = field(default_factory=lambda: trio.Semaphore(1, max_value=1))
    users: int = 0
    """How many hold it or wait for it."""


class ContainerLocks:
    """Keep a lock per container, for as long as it is held or waited for."""

    def __init__(self) -> None:
        self._locks: dict[str, _Lock] = {}

    @asynccontextmanager
    async def hold(self, container: str) -> AsyncIterator[None]:
        """Hold a container's lock; waiters get it first come, first served."""
        release = await self._acquire(container)
        try:
            yield
        finally:
            release()

    async def acquire(self, container: str) -> Callable[[], None]:
        """Wait for a container's lock, and return the function that releases it.

        Call that once, on any thread: abandoned work holds the lock until its thread ends.
        """
        release = await self._acquire(container)
        token = trio.lowlevel.current_trio_token()

        def release_from_any_thread() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(release)

        return release_from_any_thread

    async def _acquire(self, container: str) -> Callable[[], None]:
        lock = self._locks.setdefault(container, _Lock())
        lock.users += 1
        try:
            await lock.free.acquire()
        except BaseException:
            self._forget_user(container, lock)
            raise

        def release() -> None:
            lock.free.release()
            self._forget_user(container, lock)

        return release

    def _forget_user(self, container: str, lock: _Lock) -> None:
        lock.users -= 1
        if not lock.users:
            self._locks.pop(container, None)
