"""What a start is given: a namespace, an address, ports of the host. Chosen on the head view, so two starts never share."""

import secrets
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Final

from msgspec.structs import replace

from engine.domain.container import Container
from engine.domain.container_decisions import decide_start
from engine.domain.container_events import Endpoint
from engine.domain.event import Event
from engine.domain.ids import SandboxId
from engine.domain.lending import check_lender
from engine.domain.network import Network, lowest_free_addresses, mac_address
from engine.domain.sharing import lenders
from engine.domain.spec import NetworkMode, PortBinding
from engine.errors import Conflict
from engine.store.projections import View
from engine.supervisor.ports import Kernel

DEFAULT_NETWORK: Final = "bridge"
EPHEMERAL_PORTS: Final = range(32768, 61000)
"""Where a port is looked for when the caller leaves the choice: the kernel's default ip_local_port_range, ip(7)."""


@dataclass(slots=True)
class Starts:
    """Decides starts; remembers where the last chosen port was, so that a port just given back rests a while."""

    kernel: Kernel
    _next_port: int = EPHEMERAL_PORTS.start

    def decide(self, head: View, container: Container) -> tuple[Event, ...]:
        """What a start adds to the history, with everything it will need.

        Raises:
            AlreadyRunning, InvalidTransition: see ``decide_start``.
            AddressesExhausted: the subnet is full.
            Conflict: a port is taken, or a container that lends a namespace does not run.
        """
        decide_start(
            container, sandbox=None, endpoint=None, ports=()
        )  # refuse before anything is chosen
        for kind, lender in lenders(container.spec):
            check_lender(kind, lender, head.containers.get(lender))
        match container.spec.network_mode:
            case NetworkMode.HOST:
                return decide_start(container, sandbox=None, endpoint=None, ports=())
            case NetworkMode.NONE:
                sandbox = _fresh_sandbox()
                return decide_start(container, sandbox=sandbox, endpoint=None, ports=())
            case NetworkMode.BRIDGE:
                return self._on_bridge(head, container)

    def _on_bridge(self, head: View, container: Container) -> tuple[Event, ...]:
        network = head.network_named(DEFAULT_NETWORK)
        ports: tuple[PortBinding, ...] = ()
        for binding in _wanted_ports(container):
            ports = (*ports, self._port(head, container, binding, ports))
        endpoint = _endpoint(head, network, container)
        prepared = (
            None if container.spec.mac_address else self.kernel.take_sandbox(endpoint.address)
        )
        sandbox = prepared or _fresh_sandbox()
        return decide_start(container, sandbox=sandbox, endpoint=endpoint, ports=ports)

    def _port(
        self,
        head: View,
        container: Container,
        wanted: PortBinding,
        chosen: tuple[PortBinding, ...],
    ) -> PortBinding:
        if not wanted.host_port:
            return self._any_port(head, wanted)
        if wanted.host_port_last:
            return self._port_in_range(head, container, wanted, chosen)
        if head.port_holder(wanted) is not None:
            raise Conflict(
                f"driver failed programming external connectivity on endpoint {container.name} "
                f"({container.id}): Bind for {wanted.host_ip or '0.0.0.0'}:{wanted.host_port} failed: "  # noqa: S104
                "port is already allocated"
            )
        self.kernel.check_host_port(wanted)
        return wanted

    def _port_in_range(
        self,
        head: View,
        container: Container,
        wanted: PortBinding,
        chosen: tuple[PortBinding, ...],
    ) -> PortBinding:
        """The lowest free port of a range; the refusal is that of its last one."""
        taken = {(port.protocol, port.host_port) for port in chosen}
        ports = range(wanted.host_port, wanted.host_port_last + 1)
        refused = Conflict("all ports are allocated")
        for port in ports:
            if (wanted.protocol, port) in taken:
                continue
            candidate = replace(wanted, host_port=port, host_port_last=0)
            try:
                return self._port(head, container, candidate, chosen)
            except Conflict as conflict:
                refused = conflict
        raise refused

    def _any_port(self, head: View, wanted: PortBinding) -> PortBinding:
        for _ in EPHEMERAL_PORTS:
            candidate = replace(wanted, host_port=self._next_port)
            following = self._next_port + 1
            self._next_port = following if following in EPHEMERAL_PORTS else EPHEMERAL_PORTS.start
            if head.port_holder(candidate) is not None:
                continue
            try:
                self.kernel.check_host_port(candidate)
            except Conflict:
                continue
            return candidate
        raise Conflict("all ports are allocated")


def _fresh_sandbox() -> SandboxId:
    return SandboxId(secrets.token_hex(8))


def _wanted_ports(container: Container) -> tuple[PortBinding, ...]:
    spec = container.spec
    if not spec.publish_all:
        return spec.ports
    bound = {(port.container_port, port.protocol) for port in spec.ports}
    exposed = (_parse_exposed(text) for text in spec.exposed_ports)
    added = (
        PortBinding(container_port=number, protocol=protocol)
        for number, protocol in exposed
        if (number, protocol) not in bound
    )
    return (*spec.ports, *added)


def _parse_exposed(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return int(number), protocol or "tcp"


def _endpoint(head: View, network: Network, container: Container) -> Endpoint:
    (address,) = lowest_free_addresses(network, head.addresses)
    return Endpoint(
        network=network.id,
        address=address,
        gateway=network.gateway,
        mac=container.spec.mac_address or mac_address(str(IPv4Interface(address).ip)),
    )
