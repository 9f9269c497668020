"""Other limits, and another restart policy, for containers that exist."""

from typing import Final

import trio

from engine.domain.container import Container, Phase
from engine.domain.container_decisions import decide_update
from engine.domain.container_update import UpdateRefused
from engine.domain.event import Origin
from engine.domain.resource_rules import accepted
from engine.domain.resources import Machine, Resources
from engine.domain.spec import RestartPolicy
from engine.domain.streams import container_stream
from engine.service.changes import Changes
from engine.store.ledger import Ledger

LOOK_AGAIN_S: Final = 1.0


class Updates:
    """Updates containers, each by itself: of one container's, the second begins when the first is done."""

    def __init__(self, ledger: Ledger, changes: Changes, machine: Machine) -> None:
        self._ledger = ledger
        self._changes = changes
        self._machine = machine

    async def update(
        self, reference: str, asked: Resources, policy: RestartPolicy | None, origin: Origin
    ) -> tuple[str, ...]:
        """Have the limits that are named, and return when they hold.

        Returns:
            Docker's warnings about what this machine can't do.

        Raises:
            NoSuchContainer: there is none, or not any more.
            InvalidRequest, UpdateRefused: the rules forbid it, or the kernel.
        """
        kept, warnings = accepted(asked, self._machine, is_update=True)
        container = await self._at_rest(reference)
        events = decide_update(container, kept, policy)
        await self._ledger.record(origin, (container_stream(container.id), events))
        await self._done(container, container.orders_given + 1)
        return warnings

    async def _at_rest(self, reference: str) -> Container:
        """Wait until nothing is under way that a decision about limits depends on."""
        head = self._ledger.head
        identity = head.container(reference).id
        while not _is_at_rest(container := head.container(identity)):
            # Nobody is told when an append fails and takes the head back, so a look now and then has to do.
            with trio.move_on_after(LOOK_AGAIN_S):
                await self._changes.until(
                    identity, lambda _: _is_at_rest(head.containers.get(identity))
                )
        return container

    async def _done(self, container: Container, number: int) -> None:
        def settled(state: Container | None) -> bool:
            return state is None or all(order.number != number for order in state.orders)

        await self._changes.until(container.id, settled)
        state = self._ledger.durable.container(container.id)
        reasons = [each.reason for each in state.refusals if each.order == number]
        if reasons:
            raise UpdateRefused(f"Cannot update container {container.id}: {reasons[0]}")


def _is_at_rest(state: Container | None) -> bool:
    return state is None or (state.phase is not Phase.STARTING and not state.pending_updates)
