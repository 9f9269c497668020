"""Find which container has a port of the host."""

from typing import Final

from engine.domain.container.spec import PortBinding
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId

_ALL: Final = ""
"""The address of a binding that takes the port at every address of the host."""


class PortIndex:
    """Maps published ports to the containers that run or are about to."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], dict[str, ContainerId]] = {}
        """By protocol and port, then by the host's address."""

    def add(self, container: Container) -> None:
        """Add a container that the index does not have."""
        if not container.holds_endpoints:
            return
        for port in container.ports:
            holders = self._held.setdefault((port.protocol, port.host_port), {})
            holders[_host_ip(port)] = container.id

    def remove(self, container: Container) -> None:
        """Remove a container that the index has."""
        for port in container.ports:
            key, host_ip = (port.protocol, port.host_port), _host_ip(port)
            holders = self._held.get(key, {})
            if holders.get(host_ip) == container.id:
                del holders[host_ip]
                if not holders:
                    del self._held[key]

    def holder(self, binding: PortBinding) -> ContainerId | None:
        """Return the container that has a port at the binding's address, or at all addresses."""
        holders = self._held.get((binding.protocol, binding.host_port), {})
        host_ip = _host_ip(binding)
        if host_ip == _ALL:
            return next(iter(holders.values()), None)
        return holders.get(host_ip) or holders.get(_ALL)

    def holders(self) -> set[ContainerId]:
        """Return the containers that have ports of the host."""
        return {holder for held in self._held.values() for holder in held.values()}


def _host_ip(port: PortBinding) -> str:
    return _ALL if port.host_ip == "0.0.0.0" else port.host_ip  # noqa: S104  (compared, not bound)
