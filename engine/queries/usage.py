"""Sample the resource usage of containers, only while somebody asks."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

import trio

from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.ports.usage import Sample, Usage
from engine.queries.waiting import Changes

PERIOD_S: Final = 1.0
"""Between two looks: what Docker's clients are used to."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A sample and the one before it, from which rates are computed; None when nothing ran."""

    container: Container
    sample: Sample | None = None
    before: Sample | None = None


class Statistics:
    """Samples the resource usage of containers."""

    def __init__(self, find: Callable[[str], Container], usage: Usage, changes: Changes) -> None:
        self._find = find
        self._usage = usage
        self._changes = changes

    async def once(self, reference: str, *, with_rates: bool) -> Reading:
        """Take one reading. With rates it takes a period, unless nothing runs.

        Raises:
            NoSuchContainer: there is none.
        """
        container = self._find(reference)
        first = await self._sample(container)
        if first is None or not with_rates:
            return Reading(container, first)
        await self._rest(container.id)
        second = await self._sample(self._changes.last(container.id) or container)
        return Reading(container, second, first if second else None)

    async def follow(self, reference: str) -> AsyncGenerator[Reading, None]:
        """Yield a reading for each period, whether the container runs or not, until it is removed.

        Raises:
            NoSuchContainer: there is none.
        """
        container: Container | None = self._find(reference)
        before: Sample | None = None
        while container is not None:
            sample = await self._sample(container)
            yield Reading(container, sample, before if sample else None)
            before = sample
            container = await self._rest(container.id)

    async def _sample(self, container: Container) -> Sample | None:
        return await self._usage.sample(container) if container.is_running else None

    async def _rest(self, container: ContainerId) -> Container | None:
        """Wait for a period or until the container is removed; return its state then."""
        with trio.move_on_after(PERIOD_S):
            await self._changes.until(container, lambda state: state is None)
        return self._changes.durable(container)
