"""Change limits and restart policies of existing containers."""

from engine.domain.container.decisions import decide_update
from engine.domain.container.events import OrderKind
from engine.domain.container.resource_rules import accepted
from engine.domain.container.resources import Machine, Resources
from engine.domain.container.spec import RestartPolicy
from engine.domain.container.update import UpdateRefused
from engine.domain.event import Origin
from engine.queries.waiting import Changes
from engine.service.containers.orders import Orders
from engine.store.ledger import Ledger


class Updates:
    """Updates containers; updates of one container run one after the other."""

    def __init__(self, ledger: Ledger, changes: Changes, machine: Machine) -> None:
        self._ledger = ledger
        self._orders = Orders(ledger, changes, (OrderKind.UPDATE,))
        self._machine = machine

    async def update(
        self, reference: str, asked: Resources, policy: RestartPolicy | None, origin: Origin
    ) -> tuple[str, ...]:
        """Set the limits that are named, and return when the kernel has them.

        Returns:
            Docker's warnings about what this machine can't do.

        Raises:
            NoSuchContainer: there is none, or not any more.
            InvalidRequest, UpdateRefused: the rules forbid it, or the kernel.
        """
        kept, warnings = accepted(asked, self._machine, is_update=True)
        identity = self._ledger.head.container(reference).id
        refusal = await self._orders.give(
            identity, lambda container: decide_update(container, kept, policy), origin
        )
        if refusal:
            raise UpdateRefused(f"Cannot update container {identity}: {refusal}")
        return warnings
