"""Give orders that change what a container has. Of some kinds, the next order is decided when the
one before is done.
"""

from collections.abc import Callable, Collection

from engine.domain.container.events import OrderKind
from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.domain.event import Event, Origin
from engine.domain.ids import ContainerId
from engine.domain.streams import container_stream
from engine.queries.waiting import Changes
from engine.service.containers.waits import until_done, until_ready
from engine.store.ledger import Ledger


class Orders:
    """Gives orders of some kinds, and waits until they are carried out or refused."""

    def __init__(self, ledger: Ledger, changes: Changes, kinds: Collection[OrderKind]) -> None:
        self._ledger = ledger
        self._changes = changes
        self._kinds = frozenset(kinds)

    async def give(
        self, reference: str, decide: Callable[[Container], tuple[Event, ...]], origin: Origin
    ) -> str:
        """Wait until a container has no such order, decide, record, and wait for the outcome.

        Returns:
            Why the order was refused by the driver that had to carry it out, or an empty text.

        Raises:
            NoSuchContainer: there is none, or not any more.
            EngineError: the decision's.
        """
        head = self._ledger.head
        container = await until_ready(self._changes, head, reference, self._is_at_rest)
        number = container.orders_given + 1
        await self._ledger.record(origin, (container_stream(container.id), decide(container)))
        await until_done(self._changes, container.id, (number,))
        return self._refusal(container.id, number)

    def _is_at_rest(self, container: Container) -> bool:
        return container.phase is not Phase.STARTING and not any(
            order.kind in self._kinds for order in container.orders
        )

    def _refusal(self, identity: ContainerId, number: int) -> str:
        state = self._changes.durable(identity)
        reasons = [each.reason for each in state.refusals if each.order == number] if state else []
        return reasons[0] if reasons else ""
