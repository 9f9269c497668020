"""Choose the ports of the host that lead to a container's published ports.

They are chosen from what has been decided, durable or not, so that two starts at once never share
one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from msgspec.structs import replace

from engine.domain.container.spec import PortBinding
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.errors import Conflict

EPHEMERAL_PORTS: Final = range(32768, 61000)
"""Where a port is chosen if none is requested: the kernel's default ip_local_port_range, ip(7)."""


class PortHolders(Protocol):
    """Knows the published ports."""

    def port_holder(self, binding: PortBinding) -> ContainerId | None:
        """Return the container that has a port of the host, at the same address or at all."""
        ...


@dataclass(slots=True)
class HostPorts:
    """Chooses ports, and remembers the last one, so that a released port is not reused at once."""

    check_free: Callable[[PortBinding], None]
    """Refuses, with a Conflict, a port that a process of the host has."""
    _next: int = EPHEMERAL_PORTS.start

    def choose(
        self, head: PortHolders, container: Container, default_host_ip: str
    ) -> tuple[PortBinding, ...]:
        """Choose a port of the host for each port that is requested.

        Raises:
            Conflict: one is taken, or none is left.
        """
        chosen: tuple[PortBinding, ...] = ()
        for requested in requested_ports(container):
            bound = replace(requested, host_ip=requested.host_ip or default_host_ip)
            chosen = (*chosen, self._port(head, container, bound, chosen))
        return chosen

    def _port(
        self,
        head: PortHolders,
        container: Container,
        requested: PortBinding,
        chosen: tuple[PortBinding, ...],
    ) -> PortBinding:
        if not requested.host_port:
            return self._any_port(head, requested)
        if requested.host_port_last:
            return self._port_in_range(head, container, requested, chosen)
        if head.port_holder(requested) is not None:
            raise Conflict(
                f"driver failed programming external connectivity on endpoint {container.name} "
                f"({container.id}): Bind for {requested.host_ip or '0.0.0.0'}:{requested.host_port} failed: "  # noqa: S104
                "port is already allocated"
            )
        self.check_free(requested)
        return requested

    def _port_in_range(
        self,
        head: PortHolders,
        container: Container,
        requested: PortBinding,
        chosen: tuple[PortBinding, ...],
    ) -> PortBinding:
        """Return the lowest free port of a range. The refusal is that of its last port."""
        taken = {(port.protocol, port.host_port) for port in chosen}
        ports = range(requested.host_port, requested.host_port_last + 1)
        refused = Conflict("all ports are allocated")
        for port in ports:
            if (requested.protocol, port) in taken:
                continue
            candidate = replace(requested, host_port=port, host_port_last=0)
            try:
                return self._port(head, container, candidate, chosen)
            except Conflict as conflict:
                refused = conflict
        raise refused

    def _any_port(self, head: PortHolders, requested: PortBinding) -> PortBinding:
        for _ in EPHEMERAL_PORTS:
            candidate = replace(requested, host_port=self._next)
            following = self._next + 1
            self._next = following if following in EPHEMERAL_PORTS else EPHEMERAL_PORTS.start
            if head.port_holder(candidate) is not None:
                continue
            try:
                self.check_free(candidate)
            except Conflict:
                continue
            return candidate
        raise Conflict("all ports are allocated")


def requested_ports(container: Container) -> tuple[PortBinding, ...]:
    """Return the ports that were asked for by number, and with ``-P`` the exposed ones."""
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
