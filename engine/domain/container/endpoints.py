"""Choose the addresses that a container gets in its networks.

They are chosen from what has been decided, durable or not, so that two starts at once never share
one.
"""

from collections.abc import Mapping
from typing import Protocol

from msgspec.structs import replace

from engine.domain.container.attachment import (
    SYSCTLS_OPTION,
    Endpoint,
    initial_memberships,
    mac_address,
)
from engine.domain.container.spec import Membership, Spec
from engine.domain.container.state import Container
from engine.domain.ids import NetworkId
from engine.domain.network.addresses import Used, fixed, lowest_free
from engine.domain.network.macvlan import IPVLAN
from engine.domain.network.state import Network, Pool
from engine.errors import InvalidRequest, NotFound


class KnownNetworks(Protocol):
    """Knows the networks and the addresses in use."""

    @property
    def networks(self) -> Mapping[NetworkId, Network]:
        """Return every network by its ID."""
        ...

    def network(self, reference: str) -> Network:
        """Return one network by its name, its ID or the beginning of one.

        Raises:
            NotFound: there is none.
        """
        ...

    def used_addresses(self, network: Network, version: int) -> Used:
        """Return the addresses of a network that a container can't be given."""
        ...


def network_of(head: KnownNetworks, membership: Membership) -> Network:
    """Return the network that a membership means: the one it was made for, else one of the same
    name.

    Raises:
        NotFound: there is none.
    """
    known = head.networks.get(NetworkId(membership.network))
    if known is not None and not known.is_going:
        return known
    return head.network(membership.name)


def with_networks(head: KnownNetworks, spec: Spec) -> Spec:
    """Return the spec with the IDs of its networks, as far as they exist; others may be created
    later.
    """
    found = []
    for membership in initial_memberships(spec):
        try:
            network = head.network(membership.name)
        except NotFound:
            found.append(membership)
        else:
            found.append(replace(membership, name=network.name, network=network.id))
    return replace(spec, networks=tuple(found))


def choose_endpoint(
    head: KnownNetworks, network: Network, membership: Membership, slot: int
) -> Endpoint:
    """Choose addresses in a network.

    Raises:
        AddressesExhausted: the network is full.
        InvalidRequest, AddressInUse: the address that was asked for can't be had.
    """
    _check_requested(network, membership)
    address = _address(head, network, network.ipv4, 4, membership.ipv4)
    address6 = _address(head, network, network.ipv6, 6, membership.ipv6)
    return _endpoint(network, membership, slot, address, address6)


def next_endpoints(head: KnownNetworks, network: Network, count: int) -> tuple[Endpoint, ...]:
    """Return the endpoints that starts without requests of their own will get next, in order; fewer
    if the network is nearly full.

    Raises:
        AddressesExhausted: it is full.
    """
    membership = Membership(name=network.name, network=network.id)
    families = [
        lowest_free(network, pool, head.used_addresses(network, version), count)
        if pool
        else ("",) * count
        for pool, version in ((network.ipv4, 4), (network.ipv6, 6))
    ]
    pairs = zip(*families, strict=False)
    return tuple(_endpoint(network, membership, 0, *pair) for pair in pairs)


def _address(
    head: KnownNetworks, network: Network, pool: Pool | None, version: int, requested: str
) -> str:
    used = head.used_addresses(network, version)
    if requested:
        return fixed(network, pool, requested, used)
    return lowest_free(network, pool, used)[0] if pool is not None else ""


def _check_requested(network: Network, membership: Membership) -> None:
    """Refuse addresses unless the user has chosen the subnet, and aliases unless there are
    names.
    """
    if not (membership.ipv4 or membership.ipv6):
        return
    if network.is_default:
        raise InvalidRequest("user specified IP address is supported on user defined networks only")
    if not any(pool.is_chosen for pool in network.pools):
        raise InvalidRequest(
            "user specified IP address is supported only when connecting to networks"
            " with user configured subnets"
        )


def _endpoint(
    network: Network, membership: Membership, slot: int, address: str, address6: str
) -> Endpoint:
    sysctls = membership.driver_options.get(SYSCTLS_OPTION, "")
    return Endpoint(
        network=network.id,
        name=network.name,
        slot=slot,
        address=address,
        gateway=_gateway(network, network.ipv4),
        address6=address6,
        gateway6=_gateway(network, network.ipv6),
        mac="" if network.driver == IPVLAN else membership.mac or mac_address(address or address6),
        priority=membership.gateway_priority,
        sysctls=tuple(filter(None, sysctls.split(","))),
    )


def _gateway(network: Network, pool: Pool | None) -> str:
    return "" if pool is None or network.internal else pool.gateway


def choose_endpoints(head: KnownNetworks, container: Container) -> tuple[Endpoint, ...]:
    """Choose all endpoints of a container, in the order in which it was connected.

    Raises:
        NotFound: one of its networks is no more.
        AddressesExhausted, InvalidRequest, AddressInUse: see :func:`choose_endpoint`.
    """
    return tuple(
        choose_endpoint(head, network_of(head, membership), membership, slot)
        for slot, membership in enumerate(container.networks)
    )
