"""Create and remove networks, and connect containers to them."""

import secrets
from collections.abc import Callable, Sequence
from functools import partial

from msgspec.structs import replace

from engine.domain.container.attachment import free_slot
from engine.domain.container.attachment_decisions import (
    check_connectable,
    decide_connect,
    decide_disconnect,
)
from engine.domain.container.endpoints import choose_endpoint
from engine.domain.container.events import OrderKind
from engine.domain.container.spec import Membership
from engine.domain.container.state import Container
from engine.domain.event import Event, Origin
from engine.domain.ids import NetworkId
from engine.domain.network.addresses import Subnet, SubnetSource
from engine.domain.network.decisions import (
    NetworkRequest,
    Surroundings,
    check_removable,
    decide_create_network,
)
from engine.domain.network.state import Network, NetworkCreated
from engine.errors import DriverError
from engine.queries.waiting import Changes
from engine.service.containers.orders import Orders
from engine.store.ledger import Ledger
from engine.supervisor.networks import NetworkSupervisor


class Networks:
    """Lists, creates, removes and connects networks. References are names, IDs, or unique
    beginnings of IDs.
    """

    def __init__(
        self,
        ledger: Ledger,
        supervised: NetworkSupervisor,
        changes: Changes,
        sources: Sequence[SubnetSource],
    ) -> None:
        self._ledger = ledger
        self._supervised = supervised
        self._orders = Orders(ledger, changes, (OrderKind.CONNECT, OrderKind.DISCONNECT))
        self._sources = sources

    def all(self) -> tuple[Network, ...]:
        """Return every network, oldest first."""
        return tuple(each for each in self._ledger.durable.networks.values() if not each.is_going)

    def get(self, reference: str) -> Network:
        """Return one network.

        Raises:
            NotFound: there is none.
            InvalidRequest: several IDs begin like that.
        """
        return self._ledger.durable.network(reference)

    def members(self, network: Network) -> tuple[Container, ...]:
        """Return the containers that are in a network now."""
        if network.bridge:
            return self._ledger.durable.members(network.id)
        running = (each for each in self._ledger.durable.containers.values() if each.is_running)
        return tuple(each for each in running if each.spec.network_mode == network.name)

    async def create(self, request: NetworkRequest, origin: Origin) -> NetworkId:
        """Define a network, and return when its bridge exists.

        Raises:
            Conflict, Forbidden, InvalidRequest: see ``decide_create_network``.
        """
        identity = NetworkId(secrets.token_hex(32))
        return await self._supervised.create(partial(self._created, request, identity), origin)

    def _created(
        self, request: NetworkRequest, identity: NetworkId, routed: Sequence[Subnet]
    ) -> NetworkCreated:
        around = Surroundings(
            networks=tuple(self._ledger.head.networks.values()),
            routed=routed,
            sources=self._sources,
        )
        return decide_create_network(request, identity, around)

    async def remove(self, reference: str, origin: Origin) -> None:
        """Remove a network, and return when nothing is left of it.

        Raises:
            Forbidden: it is one of the engine's own, or in use.
        """
        identity = self.get(reference).id
        await self._supervised.remove(partial(self._removable, identity), origin)

    def _removable(self, identity: NetworkId) -> Network:
        network = self._ledger.head.network(identity)
        members = self._ledger.head.members(network.id)
        check_removable(network, tuple((each.name, each.id) for each in members))
        return network

    async def connect(
        self, reference: str, container: str, membership: Membership, origin: Origin
    ) -> None:
        """Connect a container to one more network, and return when it is connected.

        Raises:
            Forbidden, InvalidRequest, Conflict: see ``check_connectable`` and ``choose_endpoint``.
            DriverError: the kernel refuses; it is not in the network.
        """
        network = self.get(reference)
        requested = replace(membership, name=network.name, network=network.id)

        def decide(state: Container) -> tuple[Event, ...]:
            head = self._ledger.head
            check_connectable(state, head.network(network.id))
            endpoint = (
                choose_endpoint(head, network, requested, free_slot(state.endpoints))
                if state.is_running
                else None
            )
            return decide_connect(state, requested, endpoint)

        await self._move(container, decide, origin)

    async def disconnect(
        self, reference: str, container: str, origin: Origin, *, force: bool
    ) -> None:
        """Disconnect a container from a network, and return when it is disconnected.

        Raises:
            NotConnected, InvalidRequest, Conflict: see ``decide_disconnect``.
        """
        network = self.get(reference)
        await self._move(
            container, lambda state: decide_disconnect(state, network, force=force), origin
        )

    async def _move(
        self, container: str, decide: Callable[[Container], tuple[Event, ...]], origin: Origin
    ) -> None:
        if refusal := await self._orders.give(container, decide, origin):
            raise DriverError(refusal)
