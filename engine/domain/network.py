"""A network: its events, its decisions, and the arithmetic of its addresses.

Addresses are not given out by the network: a container's ``StartRequested`` names the one it has, so the addresses in use are
those of the containers that run, and nothing has to be given back.
"""

from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import ClassVar, Final

import msgspec

from engine.domain.event import Event
from engine.domain.ids import NetworkId
from engine.errors import Conflict, Unavailable

DEFAULT_POOLS: Final = (
    *(IPv4Network(f"172.{second}.0.0/16") for second in range(17, 32)),
    *(IPv4Network(f"192.168.{third}.0/20") for third in range(0, 256, 16)),
)
"""Where a subnet is looked for when none is given: Docker's default address pools."""


class NetworkCreated(Event, frozen=True, kw_only=True):
    """A network was defined."""

    TYPE: ClassVar[str] = "network_created"
    id: NetworkId
    name: str
    driver: str
    """``bridge``, ``host`` or ``null``, as Docker names them."""
    bridge: str = ""
    subnet: str = ""
    gateway: str = ""
    bridge_owned: bool = True
    """False: an administrator's bridge, which is used and never removed."""


class NetworkMoved(Event, frozen=True, kw_only=True):
    """The default bridge was configured otherwise; no container had an address of it."""

    TYPE: ClassVar[str] = "network_moved"
    bridge: str
    subnet: str
    gateway: str
    bridge_owned: bool


class NetworkDrifted(Event, frozen=True, kw_only=True):
    """The kernel's side of the network was changed by nobody's order."""

    TYPE: ClassVar[str] = "network_drift_detected"
    what: str


class NetworkRepaired(Event, frozen=True, kw_only=True):
    """It is again as the log wants it."""

    TYPE: ClassVar[str] = "network_drift_repaired"
    what: str


EVENTS: Final[tuple[type[Event], ...]] = (
    NetworkCreated,
    NetworkMoved,
    NetworkDrifted,
    NetworkRepaired,
)


class Network(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A network as its history tells it."""

    id: NetworkId
    name: str
    driver: str
    created_ns: int
    bridge: str = ""
    subnet: str = ""
    gateway: str = ""
    bridge_owned: bool = True


class AddressesExhausted(Unavailable):
    """Every address of the subnet is in use."""


class SubnetTaken(Conflict):
    """The subnet overlaps one that the host already routes."""


def evolve(network: Network | None, event: Event, at_ns: int) -> Network:
    """The network after one more event."""
    match event:
        case NetworkCreated():
            assert network is None
            return Network(
                id=event.id,
                name=event.name,
                driver=event.driver,
                created_ns=at_ns,
                bridge=event.bridge,
                subnet=event.subnet,
                gateway=event.gateway,
                bridge_owned=event.bridge_owned,
            )
        case NetworkMoved():
            assert network is not None
            return msgspec.structs.replace(
                network,
                bridge=event.bridge,
                subnet=event.subnet,
                gateway=event.gateway,
                bridge_owned=event.bridge_owned,
            )
        case _:
            assert network is not None
            return network


def free_subnet(taken: Collection[IPv4Network]) -> IPv4Network:
    """The first default pool that overlaps nothing the host routes.

    Raises:
        SubnetTaken: all of them do.
    """
    for pool in DEFAULT_POOLS:
        if not any(pool.overlaps(other) for other in taken):
            return pool
    raise SubnetTaken("could not find an available, non-overlapping IPv4 address pool")


def lowest_free_addresses(
    network: Network, used: Collection[str], count: int = 1
) -> tuple[str, ...]:
    """Up to ``count`` addresses that nobody has, lowest first, each with its prefix length.

    Raises:
        AddressesExhausted: there is none.
    """
    subnet = IPv4Network(network.subnet)
    found: list[str] = []
    for host in _hosts(subnet, IPv4Address(network.gateway)):
        address = f"{host}/{subnet.prefixlen}"
        if address not in used:
            found.append(address)
            if len(found) == count:
                break
    if not found:
        raise AddressesExhausted("no available IPv4 addresses on this network's address pools")
    return tuple(found)


def _hosts(subnet: IPv4Network, gateway: IPv4Address) -> Iterable[IPv4Address]:
    first, last = int(subnet.network_address) + 1, int(subnet.broadcast_address)
    return (IPv4Address(number) for number in range(first, last) if number != int(gateway))


def mac_address(address: str) -> str:
    """The hardware address that belongs to an IPv4 address: Docker's ``02:42`` and the four bytes."""
    packed = IPv4Address(address.partition("/")[0]).packed
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x42, *packed))
