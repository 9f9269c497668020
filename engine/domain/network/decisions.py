"""Decide the creation and removal of networks: (state, command) → events, or a refusal with
Docker's message.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

import msgspec

from engine.domain.ids import SHORT, NetworkId
from engine.domain.network.addresses import (
    Subnet,
    SubnetSource,
    check_subnet_free,
    first_address,
    free_subnet,
)
from engine.domain.network.macvlan import STACKED_DRIVERS, decide_parent, is_dummy, vlan_of
from engine.domain.network.state import (
    BRIDGE_DRIVER,
    BRIDGE_NAME_OPTION,
    MTU_OPTION,
    Network,
    NetworkCreated,
    Pool,
)
from engine.errors import Conflict, Forbidden, InvalidRequest

PREDEFINED: Final = frozenset({"bridge", "default", "host", "none"})
"""Names that users can't give to a network."""
_BRIDGE_PREFIX: Final = "br-"
_INTERFACE_NAME_BYTES: Final = 15
"""IFNAMSIZ less the zero byte, netdevice(7)."""


class PoolRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses that a network is to have; empty where the engine may choose."""

    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    auxiliary: dict[str, str] = {}


class NetworkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What ``POST /networks/create`` asks for."""

    name: str
    driver: str = BRIDGE_DRIVER
    """``bridge``, ``macvlan`` or ``ipvlan``."""
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    pools: tuple[PoolRequest, ...] = ()
    internal: bool = False
    attachable: bool = False
    labels: dict[str, str] = {}
    options: dict[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What exists already, and where new subnets come from."""

    networks: Collection[Network]
    routed: Collection[Subnet]
    """Subnets that the host has addresses in, or routes to."""
    sources: Sequence[SubnetSource]
    """Sources of both families."""


def decide_create_network(
    request: NetworkRequest, identity: NetworkId, around: Surroundings
) -> NetworkCreated:
    """Return the event that creates a network.

    Raises:
        Conflict: the name is taken.
        Forbidden: the name is one of the engine's own, or the subnet or the bridge another
            network's.
        NoSubnetLeft: no subnet is free.
        InvalidRequest: it makes no sense.
    """
    _check_name(request.name, around)
    _check_pools(request)
    _check_mtu(request)
    link = _link(request, identity, around)
    return NetworkCreated(
        id=identity,
        name=request.name,
        driver=request.driver,
        bridge=link,
        bridge_owned=request.driver == BRIDGE_DRIVER or is_dummy(link) or vlan_of(link) is not None,
        ipv4=_pool(request, 4, around) if request.enable_ipv4 else None,
        ipv6=_pool(request, 6, around) if request.enable_ipv6 else None,
        internal=request.internal or is_dummy(link),
        attachable=request.attachable,
        labels=request.labels,
        options=request.options,
    )


def _link(request: NetworkRequest, identity: NetworkId, around: Surroundings) -> str:
    """Return the host's link that containers will be connected to."""
    if request.driver in STACKED_DRIVERS:
        return decide_parent(request.driver, request.options, identity, around.networks)
    bridge = request.options.get(BRIDGE_NAME_OPTION) or f"{_BRIDGE_PREFIX}{identity[:SHORT]}"
    _check_bridge(bridge, identity, around)
    return bridge


def _check_name(name: str, around: Surroundings) -> None:
    if not name.strip():
        raise InvalidRequest("invalid name: name is empty")
    if name in PREDEFINED:
        raise Forbidden(f"operation is not permitted on predefined {name} network ")
    if any(name == each.name and not each.is_going for each in around.networks):
        raise Conflict(f"network with name {name} already exists")


def _check_bridge(bridge: str, identity: NetworkId, around: Surroundings) -> None:
    if len(bridge.encode()) > _INTERFACE_NAME_BYTES or any(each in bridge for each in "/: \t\n"):
        raise InvalidRequest(f"invalid bridge name: {bridge}")
    for other in around.networks:
        if other.bridge == bridge and not other.is_gone:
            raise Forbidden(
                f"cannot create network {identity} ({bridge}): conflicts with network "
                f"{other.id} ({bridge}): networks have same bridge name"
            )


def _check_mtu(request: NetworkRequest) -> None:
    mtu = request.options.get(MTU_OPTION, "0")
    if not mtu.isdecimal():
        raise InvalidRequest(
            f"failed to parse {MTU_OPTION} value: {mtu} "
            f'(strconv.Atoi: parsing "{mtu}": invalid syntax)'
        )


def _pool(request: NetworkRequest, version: int, around: Surroundings) -> Pool:
    asked = next((each for each in request.pools if _version(each) == version), PoolRequest())
    defined = [ip_network(pool.subnet) for network in around.networks for pool in network.pools]
    if asked.subnet:
        subnet = ip_network(asked.subnet)
        check_subnet_free(subnet, defined)
    else:
        sources = [each for each in around.sources if each.base.version == version]
        subnet = free_subnet(sources, [*defined, *around.routed])
    part = ip_network(asked.ip_range) if asked.ip_range else None
    return Pool(
        subnet=str(subnet),
        gateway=asked.gateway or first_address(subnet, part),
        ip_range=asked.ip_range,
        auxiliary=asked.auxiliary,
        is_chosen=bool(asked.subnet),
    )


def _version(pool: PoolRequest) -> int:
    return ip_network(pool.subnet).version if pool.subnet else 4


def _check_pools(request: NetworkRequest) -> None:
    """Report all faults of the requested subnets at once, as Docker does."""
    wrong = [complaint for pool in request.pools for complaint in _complaints(pool, request)]
    if wrong:
        raise InvalidRequest("invalid network config:\n" + "\n".join(wrong))
    for version in (4, 6):
        if sum(_version(pool) == version for pool in request.pools) > 1:
            raise Forbidden(f"{request.driver} driver doesn't support multiple subnets")


def _complaints(pool: PoolRequest, request: NetworkRequest) -> Iterator[str]:
    if not pool.subnet:
        if pool.ip_range or pool.gateway or pool.auxiliary:
            yield "gateway, ip-range and auxiliary addresses need a subnet"
        return
    try:
        subnet = ip_network(pool.subnet, strict=False)
    except ValueError:
        yield f"invalid subnet {pool.subnet}: invalid CIDR block notation"
        return
    if str(subnet.network_address) != str(ip_address(pool.subnet.partition("/")[0])):
        yield f"invalid subnet {pool.subnet}: it should be {subnet}"
    if subnet.version == 6 and not request.enable_ipv6:
        yield "IPv6 subnet given, but IPv6 is disabled for the network"
    yield from _part_complaints(pool, subnet)


def _part_complaints(pool: PoolRequest, subnet: Subnet) -> Iterator[str]:
    if pool.ip_range and not _lies_within(pool.ip_range, subnet):
        yield f"invalid ip-range {pool.ip_range}: parent subnet {subnet} doesn't contain ip-range"
    named = {"": pool.gateway, **pool.auxiliary}
    for name, address in named.items():
        what = "auxiliary address" if name else "gateway"
        if not address:
            continue
        try:
            is_inside = ip_address(address) in subnet
        except ValueError:
            yield f"invalid {what} {address}: invalid address"
            continue
        if not is_inside:
            yield f"invalid {what} {address}: parent subnet {subnet} doesn't contain this address"


def _lies_within(part: str, whole: Subnet) -> bool:
    try:
        inner = ip_network(part)
    except ValueError:
        return False
    return (
        inner.version == whole.version
        and inner.network_address in whole
        and inner.broadcast_address in whole
    )


def check_removable(network: Network, members: Sequence[tuple[str, str]]) -> None:
    """Refuse to remove a network that is predefined or in use.

    Args:
        network: which.
        members: name and ID of each container that has an address of it.

    Raises:
        Forbidden: it is one of the engine's own, or in use.
    """
    if network.name in PREDEFINED:
        raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
    if members:
        active = ", ".join(f'name:"{name}" id:"{identity[:SHORT]}"' for name, identity in members)
        raise Forbidden(
            f"error while removing network: network {network.name} has active endpoints ({active})"
        )
