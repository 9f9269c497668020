"""Find which container has an address of a network, or was promised one."""

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address

from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, NetworkId
from engine.domain.network.addresses import Used
from engine.domain.network.state import Network

_VERSIONS = (4, 6)


class AddressIndex:
    """Maps the addresses of all containers to their holders, by network and IP version."""

    def __init__(self) -> None:
        self._held: dict[tuple[NetworkId, int], dict[int, ContainerId]] = {}
        """Addresses of containers that run or are about to."""
        self._promised: dict[tuple[str, int], Counter[int]] = {}
        """By the network's name: addresses that containers ask for by number, running or not."""

    def add(self, container: Container) -> None:
        """Add a container that the index does not have."""
        for key, number in _wanted_addresses(container):
            self._promised.setdefault(key, Counter())[number] += 1
        if container.holds_endpoints:
            for held_key, number in _addresses(container):
                self._held.setdefault(held_key, {})[number] = container.id

    def remove(self, container: Container) -> None:
        """Remove a container that the index has."""
        for key, number in _wanted_addresses(container):
            self._withdraw(key, number)
        for held_key, number in _addresses(container):
            self._free(held_key, number, container.id)

    def is_used(self, network: NetworkId) -> bool:
        """Return whether any container has an address of a network."""
        return any((network, version) in self._held for version in _VERSIONS)

    def holders(self, network: NetworkId) -> tuple[ContainerId, ...]:
        """Return the containers that have addresses of a network, each once."""
        held = (self._held.get((network, version), {}) for version in _VERSIONS)
        return tuple(dict.fromkeys(holder for each in held for holder in each.values()))

    def used(self, network: Network, version: int) -> Used:
        """Return the addresses of a network that a container can't be given."""
        return Used(
            self._held.get((network.id, version), {}),
            self._promised.get((network.name, version), {}),
        )

    def _withdraw(self, key: tuple[str, int], number: int) -> None:
        promised = self._promised[key]
        promised[number] -= 1
        if not promised[number]:
            del promised[number]
        if not promised:
            del self._promised[key]

    def _free(self, key: tuple[NetworkId, int], number: int, holder: ContainerId) -> None:
        held = self._held.get(key, {})
        if held.get(number) != holder:
            return
        del held[number]
        if not held:
            del self._held[key]


def _addresses(container: Container) -> Iterator[tuple[tuple[NetworkId, int], int]]:
    for endpoint in container.endpoints:
        for text in endpoint.addresses:
            address = ip_address(text)
            yield (endpoint.network, address.version), int(address)


def _wanted_addresses(container: Container) -> Iterator[tuple[tuple[str, int], int]]:
    for membership in container.networks:
        for text in filter(None, (membership.ipv4, membership.ipv6)):
            address = ip_address(text)
            yield (membership.name, address.version), int(address)
