"""Answer the supervisor's port for networks: bridges, sandboxes, firewall and names."""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import structlog

from engine.domain import naming
from engine.domain.container.attachment import Endpoint
from engine.domain.container.spec import PortBinding
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, NetworkId, SandboxId
from engine.domain.network.addresses import Subnet
from engine.domain.network.state import Network
from engine.drivers.lanes import Lane, Lanes
from engine.drivers.networks import netns
from engine.drivers.networks.bridge import Bridge
from engine.drivers.networks.firewall import Firewall
from engine.drivers.networks.firewall_plan import (
    bridge_rules,
    firewall_plan,
    published_port,
    published_ports,
)
from engine.drivers.networks.host_ports import check_host_port
from engine.drivers.networks.name_plan import host_names, links, listener
from engine.drivers.networks.plans import sandbox_endpoints, wanted_bridge, wanted_parent
from engine.drivers.networks.ruleset import ANY_ADDRESS, ANY_ADDRESS_6, Address
from engine.drivers.networks.sandbox import Sandbox
from engine.drivers.networks.sandbox_driver import NetworkDriver, Survey
from engine.drivers.networks.sandbox_pool import Prepared, SandboxPool
from engine.drivers.resolver.client import Resolver
from engine.drivers.resolver.records import Listener
from engine.errors import DriverError, EngineError

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class LinuxNetworks:
    """The port for networks: bridges, sandboxes and published ports of the machine's own kernel."""

    exec_root: Path
    lanes: Lanes
    driver: NetworkDriver
    firewall: Firewall
    pool: SandboxPool
    names: Resolver
    network_of: Callable[[NetworkId], Network]
    container_named: Callable[[str], ContainerId | None]
    everything: Callable[[], tuple[Sequence[Network], Collection[Container]]]
    """Returns all networks that need objects of the host, and all containers that publish ports."""
    _prepared: set[SandboxId] = field(default_factory=set)
    _damaged: frozenset[SandboxId] = frozenset()
    _known: dict[SandboxId, tuple[Container, list[Network], Sandbox]] = field(default_factory=dict)
    _bridges: tuple[Bridge, ...] = ()
    """Those that were last looked at."""
    _firewall_was_wrong: bool = False
    """True after a change found the firewall wrong and repaired it: the next check reports that."""

    # --- Containers ---

    def is_prepared(self, sandbox: SandboxId) -> bool:
        """True if this daemon made it, or found it undamaged."""
        return sandbox in self._prepared

    def is_damaged(self, sandbox: SandboxId) -> bool:
        """True if the last survey found it damaged."""
        return sandbox in self._damaged

    def is_pinned(self, sandbox: SandboxId) -> bool:
        """True if its pin exists."""
        return naming.sandbox_path(self.exec_root, sandbox).exists()

    async def prepare_sandbox(self, container: Container) -> None:
        """Create or repair a container's namespace with all of its interfaces."""
        for endpoint in container.desired_endpoints:
            await self.pool.evict(endpoint.network, endpoint.addresses)
        sandbox = self._sandbox(container)
        process = container.process
        if process and not netns.is_pinned(naming.sandbox_path(self.exec_root, sandbox.id)):
            prepare = partial(self.driver.adopt_sandbox, sandbox, process)
        else:
            prepare = partial(self.driver.prepare_sandbox, sandbox)
        await self.lanes.run(Lane.NETLINK, prepare)
        await self._serve_names(container)
        self._prepared.add(sandbox.id)
        self._damaged -= {sandbox.id}

    async def _serve_names(self, container: Container) -> None:
        wanted = self._listener(container)
        if wanted is not None:
            await self.names.serve(wanted)
        elif container.sandbox is not None:
            await self.names.forget(container.sandbox)

    def _listener(self, container: Container) -> Listener | None:
        assert container.sandbox is not None
        return listener(
            container.sandbox,
            container.desired_endpoints,
            self.network_of,
            servers=container.spec.dns,
            links=links(container, self.container_named),
        )

    async def rewire(self, container: Container) -> None:
        """Change a running container's interfaces and the targets of its ports to what it wants
        now.
        """
        assert container.sandbox is not None
        self._damaged |= {container.sandbox}  # until all is done
        await self.prepare_sandbox(container)
        before = published_ports(container, container.endpoints)
        after = published_ports(container, container.desired_endpoints)
        if before != after:
            await self._change_firewall(partial(self.firewall.move, before, after))

    async def remove_sandbox(self, sandbox: SandboxId) -> None:
        """Remove a sandbox."""
        self._prepared.discard(sandbox)
        with suppress(DriverError):  # without a resolver, no process holds the namespace
            await self.names.forget(sandbox)
        await self.lanes.run(Lane.NETLINK, partial(self.driver.remove_sandbox, sandbox))

    async def publish(self, container: Container) -> None:
        """Make the host's ports lead to the container."""
        ports = published_ports(container, container.desired_endpoints)
        await self._change_firewall(partial(self.firewall.publish, ports))

    async def unpublish(self, container: Container) -> None:
        """Remove the container's ports from the firewall."""
        ports = published_ports(container, container.endpoints)
        await self.lanes.run(Lane.NETLINK, partial(self.firewall.unpublish, ports))

    def has_changes(self) -> bool:
        """Return True if :meth:`survey` or :meth:`wrong` may find something new. Called on the
        netlink thread.
        """
        changes = (
            self._firewall_was_wrong,
            self.driver.has_changes(self._bridges),
            bool(self._bridges) and self.firewall.has_changes(),
        )
        return any(changes)

    async def survey(self, containers: Collection[Container]) -> Survey:
        """Return all sandboxes that carry the instance's mark except the pool's, the damaged ones
        of these containers, and all bridges that carry the mark.
        """
        wanted = self._sandboxes(containers)
        found = await self.lanes.run(Lane.NETLINK, partial(self.driver.survey, wanted))
        self._damaged = found.damaged
        return replace(found, sandboxes=found.sandboxes - self.pool.members)

    def _sandboxes(self, containers: Collection[Container]) -> list[Sandbox]:
        """Return the sandboxes of these containers, computed again only for those that have
        changed.
        """
        known, self._known = self._known, {}
        for container in containers:
            if container.sandbox is None:
                continue
            networks = [self.network_of(each.network) for each in container.desired_endpoints]
            entry = known.get(container.sandbox)
            if entry is None or entry[0] is not container or entry[1] != networks:
                entry = (container, networks, self._sandbox(container))
            self._known[container.sandbox] = entry
        return [sandbox for _, _, sandbox in self._known.values()]

    def _sandbox(self, container: Container) -> Sandbox:
        assert container.sandbox is not None
        wanted = container.desired_endpoints
        return Sandbox(
            container.sandbox,
            sandbox_endpoints(wanted, self.network_of),
            resolver=any(self.network_of(each.network).has_names for each in wanted),
        )

    async def _change_firewall(self, change: Callable[[], None]) -> None:
        """Change the table; if that fails because another program has changed it, apply the whole
        plan.
        """
        try:
            await self.lanes.run(Lane.NETLINK, change)
        except DriverError as error:
            log.warning("firewall_not_changed", error=str(error))
            plan = firewall_plan(*self.everything())
            await self.lanes.run(Lane.NETLINK, partial(self.firewall.apply, plan))
            self._firewall_was_wrong = True

    # --- Networks ---

    async def wrong(
        self, networks: Sequence[Network], containers: Collection[Container]
    ) -> tuple[tuple[NetworkId, str], ...]:
        """Return the bridges and parents that differ from the log, and whether the firewall
        does.
        """
        plan = firewall_plan(networks, containers)

        def look() -> tuple[tuple[NetworkId, str], ...]:
            bridged = [each for each in networks if each.is_bridged]
            self._bridges = tuple(map(wanted_bridge, bridged))
            faults = self.driver.faults_of_bridges(self._bridges)
            wrong = [(each.id, "bridge") for each in bridged if faults.get(each.bridge)]
            wrong += (
                (each.id, "parent")
                for each in networks
                if not each.is_bridged and self.driver.faults_of_parent(wanted_parent(each))
            )
            is_right = self.firewall.is_right(plan) and not self._firewall_was_wrong
            self._firewall_was_wrong = False
            if networks and not is_right:
                wrong.append((networks[0].id, "firewall"))
            return tuple(wrong)

        return await self.lanes.run(Lane.NETLINK, look)

    async def repair(self, networks: Sequence[Network], containers: Collection[Container]) -> None:
        """Create or repair the bridges, the parents and the firewall's table. A failure of one does
        not stop the others.
        """
        plan = firewall_plan(networks, containers)

        def repair() -> None:
            refusals = []
            for network in networks:
                try:
                    self._ensure(network)
                except EngineError as error:
                    refusals.append(str(error))
            self.firewall.apply(plan)
            if refusals:
                raise DriverError("; ".join(refusals))

        await self.lanes.run(Lane.NETLINK, repair)

    def _ensure(self, network: Network) -> None:
        if network.is_bridged:
            self.driver.ensure_bridge(wanted_bridge(network))
        else:
            self.driver.ensure_parent(wanted_parent(network))

    async def taken_subnets(self) -> Sequence[Subnet]:
        """Return the subnets that the host has addresses in, or routes to."""
        return await self.lanes.run(Lane.NETLINK, self.driver.taken_subnets)

    async def make(self, network: Network) -> None:
        """Create a bridge with its entry in the firewall, or a parent."""
        if not network.is_bridged:
            make_parent = partial(self.driver.make_parent, wanted_parent(network))
            await self.lanes.run(Lane.NETLINK, make_parent)
            return
        await self.lanes.run(
            Lane.NETLINK, partial(self.driver.ensure_bridge, wanted_bridge(network))
        )
        await self._change_firewall(partial(self.firewall.add_bridge, bridge_rules(network)))

    async def remove(self, network: Network) -> None:
        """Remove a network's objects; a bridge that is not ours stays."""
        await self.pool.forget(network.id)

        def remove() -> None:
            if network.is_bridged:
                self.firewall.remove_bridge(bridge_rules(network))
            if network.bridge_owned:
                self.driver.remove_bridge(network.bridge)

        await self.lanes.run(Lane.NETLINK, remove)

    async def discard_bridge(self, name: str) -> None:
        """Remove a bridge that carries our mark but belongs to no network in the log."""
        await self.lanes.run(Lane.NETLINK, partial(self.driver.remove_bridge, name))

    async def forget_strays(self, in_use: Collection[SandboxId]) -> None:
        """Remove the sandboxes that belong to no container: a crashed daemon's pool left them.
        Called before the pool runs.

        What can't be removed now is an orphan that the sweep will find, and no reason to refuse to
        start.
        """

        def remove() -> None:
            self.driver.remove_sandboxes(self.driver.owned_sandboxes() - set(in_use))

        try:
            await self.lanes.run(Lane.NETLINK, remove)
        except DriverError as error:
            log.warning("strays_not_removed", error=str(error))

    # --- Starts ---

    def take_sandbox(self, endpoint: Endpoint) -> SandboxId | None:
        """Take a namespace that was prepared with this endpoint alone."""
        sandbox = self.pool.take(endpoint.network, endpoint.addresses)
        if sandbox is not None:
            self._prepared.add(sandbox)
        return sandbox

    def offer_endpoints(self, network: Network, endpoints: Sequence[Endpoint]) -> None:
        """Announce the endpoints of the next starts."""
        self.pool.offer(network.id, [_prepared(each, network) for each in endpoints])

    # --- Names ---

    def update_names(self, container: Container) -> None:
        """Update the names by which a container is found."""
        self.names.set_records_soon(container.id, host_names(container, self.network_of))

    async def set_all_names(self, containers: Iterable[Container]) -> None:
        """Send the resolver all names, after the daemon's start; it deletes everything else.

        A resolver that can't be started now is started later: this is no reason to refuse to start.
        """
        present = [each for each in containers if each.holds_endpoints]
        listeners = (self._listener(each) for each in present if each.sandbox is not None)
        records = (name for each in present for name in host_names(each, self.network_of))
        try:
            await self.names.set_all(filter(None, listeners), records)
        except DriverError as error:
            log.warning("names_not_sent", error=str(error))

    def check_host_port(self, binding: PortBinding) -> None:
        """Refuse a port of the host that a process of the host has."""
        check_host_port(published_port(binding, _no_address(binding)))


def _no_address(binding: PortBinding) -> Address:
    """Return the unspecified address of the IP version of the host's address."""
    is_ipv6 = ip_address(binding.host_ip or str(ANY_ADDRESS)).version == 6
    return ANY_ADDRESS_6 if is_ipv6 else ANY_ADDRESS


def _prepared(endpoint: Endpoint, network: Network) -> Prepared:
    """Return a namespace to prepare. Its addresses are parsed only when it is made, because few of
    the offered ones are.
    """

    def make(sandbox: SandboxId) -> Sandbox:
        endpoints = sandbox_endpoints((endpoint,), lambda _: network)
        return Sandbox(sandbox, endpoints, network.has_names)

    return Prepared(endpoint.addresses, make)
