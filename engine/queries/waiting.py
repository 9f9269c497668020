"""Wait until the durable state of a container fulfils a condition."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.store.ledger import Ledger
from engine.store.records import Recorded

LAST_MAX: Final = 1024
"""Containers whose last state is kept: tasks that wait for one are woken soon after its removal."""

_Awaited = tuple[Callable[[Container | None], bool], trio.Event]


class Changes:
    """Wakes waiting tasks each time that the log grows by an event about their container."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: dict[str, trio.Event] = {}
        self._awaited: dict[ContainerId, list[_Awaited]] = {}
        self._last: OrderedDict[ContainerId, Container] = OrderedDict()
        ledger.follow(self._follow)

    async def until(
        self, container: ContainerId, happened: Callable[[Container | None], bool]
    ) -> None:
        """Wait until a container's durable state fulfils a condition, which is called with None
        once the container is removed.
        """
        await self.until_any(
            container, lambda: happened(self._ledger.durable.containers.get(container))
        )

    @contextmanager
    def event(
        self, container: ContainerId, happened: Callable[[Container | None], bool]
    ) -> Iterator[trio.Event]:
        """Provide an event that is set once a container's durable state fulfils a condition."""
        awaited = (happened, trio.Event())
        watched = self._awaited.setdefault(container, [])
        watched.append(awaited)
        self._check(container, watched)
        try:
            yield awaited[1]
        finally:
            watched.remove(awaited)
            if not watched and self._awaited.get(container) is watched:
                del self._awaited[container]

    def _check(self, container: ContainerId, watched: list[_Awaited]) -> None:
        state = self._ledger.durable.containers.get(container)
        for happened, event in watched:
            if happened(state):
                event.set()

    def last(self, container: ContainerId) -> Container | None:
        """Return the last known state of a container, even if it has been removed."""
        return self._ledger.durable.containers.get(container) or self._last.get(container)

    def durable(self, container: ContainerId) -> Container | None:
        """Return the durable state of a container; None when it has been removed."""
        return self._ledger.durable.containers.get(container)

    async def until_any(self, container: ContainerId, happened: Callable[[], bool]) -> None:
        """Wait until a condition about a container or its execs is fulfilled."""
        while not happened():
            await self._waiting.setdefault(container, trio.Event()).wait()

    def _follow(self, recorded: Recorded) -> None:
        identity = ContainerId(recorded.stream.removeprefix("container/").partition("/")[0])
        if state := self._ledger.durable.containers.get(identity):
            self._last[identity] = state
            self._last.move_to_end(identity)
            if len(self._last) > LAST_MAX:
                self._last.popitem(last=False)
        self._check(identity, self._awaited.get(identity, []))
        event = self._waiting.pop(identity, None)
        if event is not None:
            event.set()
