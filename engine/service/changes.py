"""Waiting for the log: level-triggered, so nobody can miss what happened between looking and waiting."""

from collections.abc import Callable

import trio

from engine.domain.container import Container
from engine.domain.ids import ContainerId
from engine.store.ledger import Ledger
from engine.store.records import Recorded


class Changes:
    """Wakes whoever waits for something about a container, each time that the log grows by an event about it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: dict[str, trio.Event] = {}
        ledger.follow(self._follow)

    async def until(
        self, container: ContainerId, happened: Callable[[Container | None], bool]
    ) -> Container | None:
        """Wait until a container's durable state fulfils a condition.

        Args:
            container: whose.
            happened: the condition; it gets None when the container is no more.

        Returns:
            That state.
        """
        while not happened(state := self._ledger.durable.containers.get(container)):
            await self._waiting.setdefault(container, trio.Event()).wait()
        return state

    async def until_any(self, container: ContainerId, happened: Callable[[], bool]) -> None:
        """Wait until anything about a container, its execs included, fulfils a condition."""
        while not happened():
            await self._waiting.setdefault(container, trio.Event()).wait()

    def _follow(self, recorded: Recorded) -> None:
        identity = recorded.stream.removeprefix("container/").partition("/")[0]
        event = self._waiting.pop(identity, None)
        if event is not None:
            event.set()
