"""Wait until the log has the outcome of a container's start, stop, order or removal."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import trio

from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.errors import EngineError, Kind
from engine.queries.waiting import Changes
from engine.store.projections import View

LOOK_AGAIN_S: Final = 1.0
"""An append that fails takes the head view back without waking anybody: look again after so long."""


class StartRefused(EngineError):
    """The container could not be started; the message is what Docker's clients show."""

    kind = Kind.INVALID


class RemovalFailed(EngineError):
    """Something of the container can't be removed yet."""

    kind = Kind.INTERNAL


class WaitCondition(StrEnum):
    """What ``POST /containers/{id}/wait`` waits for."""

    NOT_RUNNING = "not-running"
    NEXT_EXIT = "next-exit"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A wait of a client, accepted: its container exists."""

    changes: Changes
    container: Container
    condition: WaitCondition

    async def result(self) -> tuple[int, str]:
        """Wait, and return the exit code and the error of a start that failed."""
        await self.changes.until(self.container.id, self._is_over)
        last = self.changes.last(self.container.id) or self.container
        return last.exit_code, last.error

    def _is_over(self, state: Container | None) -> bool:
        if state is None:
            return True
        match self.condition:
            case WaitCondition.NOT_RUNNING:
                return has_ended(state)
            case WaitCondition.NEXT_EXIT:  # a failed start is no exit, and the next may succeed
                return state.exits > self.container.exits
            case WaitCondition.REMOVED:
                return state.phase is Phase.DEAD


async def until_ready(
    changes: Changes, head: View, reference: str, is_ready: Callable[[Container], bool]
) -> Container:
    """Wait until a container fulfils a condition on the head view, and return it.

    Raises:
        NoSuchContainer: there is none, or not any more.
    """
    identity = head.container(reference).id

    def is_ready_or_gone(_: Container | None) -> bool:
        state = head.containers.get(identity)
        return state is None or is_ready(state)

    while not is_ready(container := head.container(identity)):
        with trio.move_on_after(LOOK_AGAIN_S):
            await changes.until(identity, is_ready_or_gone)
    return container


async def until_started(changes: Changes, container: ContainerId, run: int) -> None:
    """Wait until a run's process executes its program.

    Raises:
        StartRefused: the run has failed to start, or the container was removed.
    """

    def is_settled(state: Container | None) -> bool:
        return (
            state is None
            or state.run > run
            or (state.run == run and state.phase is not Phase.STARTING)
        )

    await changes.until(container, is_settled)
    last = changes.last(container)
    if last is None or (last.run == run and last.error):
        raise StartRefused(last.error if last else "the container was removed while it started")


async def until_ended(changes: Changes, container: Container) -> None:
    """Wait until the run that a container is in has ended."""
    await changes.until(
        container.id, lambda state: state is None or run_has_ended(state, container.run)
    )


async def until_removed(changes: Changes, container: ContainerId) -> None:
    """Wait until nothing of a container is left.

    Raises:
        RemovalFailed: something is left; the engine goes on trying.
    """
    await changes.until(container, lambda state: state is None or state.phase is Phase.DEAD)
    if state := changes.durable(container):
        raise RemovalFailed(f"container {container}: driver failed to remove: {state.error}")


async def until_done(changes: Changes, container: ContainerId, orders: Collection[int]) -> None:
    """Wait until orders, given by their numbers, are carried out or refused."""

    def are_done(state: Container | None) -> bool:
        return state is None or not any(order.number in orders for order in state.orders)

    await changes.until(container, are_done)


def has_ended(state: Container | None) -> bool:
    """Return whether a container has no process and will get none without a start."""
    return state is None or not _has_or_gets_process(state)


def run_has_ended(state: Container, run: int) -> bool:
    """Return whether a run of a container is over, whichever run the container is in now."""
    if state.phase in (Phase.REMOVED, Phase.DEAD):
        return True
    return state.run > run or (
        state.run == run and not _has_or_gets_process(state) and state.process is None
    )


def _has_or_gets_process(state: Container) -> bool:
    return state.is_running or state.phase in (Phase.STARTING, Phase.RESTARTING)
