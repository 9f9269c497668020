"""Compute addresses of networks: free subnets, free addresses, and which requested ones can't be
given.

An address is an integer here wherever many are compared. Refusals have Docker's messages.
"""

from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from itertools import islice
from typing import Final

from engine.domain.network.state import Network, Pool
from engine.errors import Conflict, Forbidden, InvalidRequest, Unavailable

Address = IPv4Address | IPv6Address
Subnet = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class SubnetSource:
    """A block of addresses that is divided into subnets of one size."""

    base: Subnet
    prefix: int
    """The length of a subnet's prefix."""

    def subnets(self) -> Iterator[Subnet]:
        """Yield all subnets, in order."""
        step = 1 << (self.base.max_prefixlen - self.prefix)
        first = int(self.base.network_address)
        kind = type(self.base)
        for number in range(1 << (self.prefix - self.base.prefixlen)):
            yield kind((first + number * step, self.prefix))


IPV4_SOURCES: Final = (
    *(SubnetSource(IPv4Network(f"172.{second}.0.0/16"), 16) for second in range(17, 32)),
    SubnetSource(IPv4Network("192.168.0.0/16"), 20),
)
"""Where a subnet is chosen if none is requested: Docker's default address pools."""


def local_source(instance: str) -> SubnetSource:
    """Return where an instance looks for subnets of IPv6: 65,536 of 64 bits in a prefix of its own,
    RFC 4193, section 3.2.
    """
    digest = sha256(f"ipv6/{instance}".encode()).digest()
    prefix = IPv6Address(b"\xfd" + digest[:5] + bytes(10))
    return SubnetSource(IPv6Network((prefix, 48)), 64)


class AddressesExhausted(Unavailable):
    """Every address of the pool is in use."""


class AddressInUse(Forbidden):
    """Another container has the address that was asked for."""


class SubnetTaken(Forbidden):
    """The subnet overlaps one that is in use."""


class NoSubnetLeft(Conflict):
    """Every subnet that could be chosen overlaps one that is in use."""


def free_subnet(sources: Iterable[SubnetSource], taken: Collection[Subnet]) -> Subnet:
    """Return the first subnet that overlaps none in use.

    Raises:
        NoSubnetLeft: there is none.
    """
    for source in sources:
        rivals = [other for other in taken if _overlap(source.base, other)]
        for candidate in source.subnets():
            if not any(_overlap(candidate, other) for other in rivals):
                return candidate
    raise NoSubnetLeft(
        "could not find an available, non-overlapping IPv4 address pool among the defaults"
        " to assign to the network"
    )


def check_subnet_free(subnet: Subnet, taken: Iterable[Subnet]) -> None:
    """Refuse a subnet that overlaps one in use.

    Raises:
        SubnetTaken: it does.
    """
    if any(_overlap(subnet, other) for other in taken):
        raise SubnetTaken(
            "invalid pool request: Pool overlaps with other one on this address space"
        )


def _overlap(one: Subnet, other: Subnet) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return isinstance(other, IPv6Network) and one.overlaps(other)


def first_address(subnet: Subnet, part: Subnet | None = None) -> str:
    """Return the default gateway: the first address of the part that addresses are taken from."""
    numbers = _numbers(subnet, part or subnet)
    kind = IPv4Address if isinstance(subnet, IPv4Network) else IPv6Address
    return str(kind(numbers[0]))


@dataclass(frozen=True, slots=True)
class Used:
    """The addresses of one network and family that a container can't be given."""

    held: Container[int]
    """Addresses of running containers."""
    promised: Container[int] = frozenset()
    """Addresses reserved for the containers that requested them."""


def lowest_free(network: Network, pool: Pool, used: Used, count: int = 1) -> tuple[str, ...]:
    """Return up to ``count`` free addresses of one of a network's pools, lowest first, each with
    its prefix length.

    Raises:
        AddressesExhausted: there is none.
    """
    subnet = ip_network(pool.subnet)
    reserved = {int(ip_address(each)) for each in (pool.gateway, *pool.auxiliary.values())}
    free = (
        number
        for number in _numbers(subnet, ip_network(pool.ip_range or pool.subnet))
        if number not in used.held and number not in reserved and number not in used.promised
    )
    kind = IPv4Address if isinstance(subnet, IPv4Network) else IPv6Address
    found = tuple(f"{kind(number)}/{subnet.prefixlen}" for number in islice(free, count))
    if not found:
        raise AddressesExhausted(
            f"no available IPv{subnet.version} addresses on this network's address pools:"
            f" {network.name} ({network.id})"
        )
    return found


def _numbers(subnet: Subnet, part: Subnet) -> range:
    """Return the addresses of a part that a host can have: neither the subnet's own nor its
    broadcast address.
    """
    first, last = int(part.network_address), int(part.broadcast_address)
    if subnet.version == 4 and subnet.prefixlen < 31:  # RFC 3021: of two addresses both are usable
        last = min(last, int(subnet.broadcast_address) - 1)
    return range(max(first, int(subnet.network_address) + 1), last + 1)


def fixed(network: Network, pool: Pool | None, requested: str, used: Used) -> str:
    """Return a requested address with its prefix length.

    Raises:
        InvalidRequest: the network has no such address.
        AddressInUse: another container has it.
    """
    if pool is None or ip_address(requested) not in ip_network(pool.subnet):
        raise InvalidRequest(
            f"invalid config for network {network.name}: invalid endpoint settings:\n"
            f"no configured subnet contains IP address {requested}"
        )
    subnet, number = ip_network(pool.subnet), int(ip_address(requested))
    if number in used.held or number == int(ip_address(pool.gateway)):
        raise AddressInUse("Address already in use")
    return f"{ip_address(requested)}/{subnet.prefixlen}"
