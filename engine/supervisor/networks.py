"""Create and remove networks in the kernel, and repair them.

Work on bridges and on the firewall's tables is done one piece at a time; work on single containers
does not wait for it.
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog
import trio

from engine.domain.container.endpoints import next_endpoints
from engine.domain.event import SUPERVISOR, Event, Origin
from engine.domain.ids import ContainerId, NetworkId
from engine.domain.network.addresses import AddressesExhausted, Subnet
from engine.domain.network.state import (
    Network,
    NetworkCreated,
    NetworkDrifted,
    NetworkRemoved,
    NetworkRemoveRequested,
    NetworkRepaired,
)
from engine.domain.streams import network_stream
from engine.errors import DriverError, EngineError
from engine.ports.kernel import NetworkKernel
from engine.store.ledger import Ledger

PREPARED_SHARE: Final = 4
"""A user-defined network gets 1/PREPARED_SHARE as many prepared namespaces as the default one."""

Fault = tuple[NetworkId, str]
"""A part (``bridge``, ``parent``, ``firewall``) of a network that differs from the log."""

log = structlog.get_logger()


class NetworkSupervisor:
    """Keeps the kernel's bridges, and other links that networks need, in agreement with the log."""

    def __init__(
        self,
        ledger: Ledger,
        kernel: NetworkKernel,
        wake: Callable[[ContainerId], None],
        prepared: int,
    ) -> None:
        self._ledger = ledger
        self._kernel = kernel
        self._wake = wake
        self._prepared = prepared
        self._lock = trio.Lock()
        self._drifted: set[Fault] = set()
        """Faults that were found and are not repaired yet."""

    # --- Requests ---

    async def create(
        self, decide: Callable[[Sequence[Subnet]], NetworkCreated], origin: Origin
    ) -> NetworkId:
        """Record a network and create its kernel objects.

        Args:
            decide: returns the event to record, given the subnets that the host routes. It is
                called while no other change can interfere, and may refuse.
            origin: who asked.

        Raises:
            EngineError: the decision or the kernel refuses; then the network is removed again.
        """
        async with self._lock:
            created = decide(await self._kernel.taken_subnets())
            await self._record(created.id, (created,), origin)
            network = self._ledger.durable.networks[created.id]
            try:
                await self._kernel.make(network)
            except EngineError as error:
                requested = NetworkRemoveRequested(reason=str(error))
                await self._record(created.id, (requested,), origin)
                await self._remove(network.id, origin)
                raise
        self.offer(network.id)
        return network.id

    async def remove(self, decide: Callable[[], Network], origin: Origin) -> None:
        """Record that a network is to be removed, and remove its kernel objects.

        Args:
            decide: returns the network to remove. It is called while no other change can interfere,
                and may refuse.
            origin: who asked.

        Raises:
            EngineError: the decision's refusal, or the kernel's; then each sweep tries again.
        """
        async with self._lock:
            network = decide()
            await self._record(network.id, (NetworkRemoveRequested(),), origin)
            await self._remove(network.id, origin)

    async def _remove(self, identity: NetworkId, origin: Origin) -> None:
        network = self._ledger.durable.networks[identity]
        await self._kernel.remove(network)
        await self._record(
            identity, (NetworkRemoved(name=network.name, driver=network.driver),), origin
        )

    # --- Recovery and repair ---

    async def recover(self) -> None:
        """Create or repair all bridges and the firewall, and finish interrupted removals."""
        async with self._lock:
            try:
                view = self._ledger.durable
                await self._kernel.repair(view.networks_with_links(), view.publishers())
            except DriverError as error:
                log.warning("networks_not_recovered", error=str(error))
            await self._finish_removals()

    async def check(self) -> bool:
        """Compare the kernel's bridges and firewall with the log; record and repair differences.
        Returns True if there were none.
        """
        async with self._lock:
            await self._finish_removals()
            view = self._ledger.durable
            networks, published = view.networks_with_links(), view.publishers()
            wrong = await self._kernel.wrong(networks, published)
            if published != view.publishers():
                return False
            repaired = self._drifted - set(wrong)
            if await self._repair_all(networks, set(wrong) - self._drifted):
                repaired |= self._drifted
            for fault in repaired:
                await self._note_repair(fault)
        for identity in {identity for identity, _ in repaired}:
            for member in self._ledger.durable.members(identity):
                self._wake(member.id)
        return not wrong and not any(each.is_going for each in view.networks.values())

    async def _repair_all(self, networks: Sequence[Network], new: set[Fault]) -> bool:
        """Record new faults and repair all known ones. Returns False if the repair failed.

        A fault that can't be repaired, such as a removed link that the engine did not create, is
        retried at each sweep but recorded and logged only once.
        """
        for identity, what in new:
            await self._record(identity, (NetworkDrifted(what=what),), Origin(actor=SUPERVISOR))
            self._drifted.add((identity, what))
        if not self._drifted:
            return True
        try:
            await self._kernel.repair(networks, self._ledger.durable.publishers())
        except DriverError as error:
            if new:
                log.warning("networks_not_repaired", error=str(error))
            return False
        return True

    async def _note_repair(self, fault: Fault) -> None:
        identity, what = fault
        if identity in self._ledger.durable.networks:
            await self._record(identity, (NetworkRepaired(what=what),), Origin(actor=SUPERVISOR))
        self._drifted.discard(fault)

    async def _finish_removals(self) -> None:
        going = [each.id for each in self._ledger.durable.networks.values() if each.is_going]
        for identity in going:
            try:
                await self._remove(identity, Origin(actor=SUPERVISOR))
            except DriverError as error:
                log.warning("network_not_removed", network=identity, error=str(error))

    async def _record(self, identity: NetworkId, events: tuple[Event, ...], origin: Origin) -> None:
        await self._ledger.record(origin, (network_stream(identity), events))

    # --- Endpoints of the next starts ---

    def offer_all(self) -> None:
        """Announce the next endpoints of every network, so that namespaces can be prepared."""
        for network in self._ledger.durable.networks_with_links():
            self.offer(network.id)

    def offer(self, identity: NetworkId) -> None:
        """Announce the next endpoints of one network, so that namespaces can be prepared."""
        network = self._ledger.head.networks.get(identity)
        if network is None or network.is_going or not network.is_bridged:
            return
        count = self._prepared if network.is_default else self._prepared // PREPARED_SHARE
        try:
            wanted = next_endpoints(self._ledger.head, network, count) if count else ()
        except AddressesExhausted:
            wanted = ()
        self._kernel.offer_endpoints(network, wanted)
