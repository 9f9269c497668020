"""Compute what the kernel should have of networks and endpoints."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

from engine.domain.container import attachment as membership
from engine.domain.ids import NetworkId
from engine.domain.network.macvlan import MODES, has_routed_links, mode_name
from engine.domain.network.state import MTU_OPTION, Network
from engine.drivers.networks.bridge import Bridge
from engine.drivers.networks.link_kinds import Stacking
from engine.drivers.networks.macvlan_parents import Parent
from engine.drivers.networks.sandbox import Endpoint


def wanted_bridge(network: Network) -> Bridge:
    """Return a network's bridge, with the host's own addresses."""
    return Bridge(
        name=network.bridge,
        addresses=tuple(
            ip_interface(f"{pool.gateway}/{ip_network(pool.subnet).prefixlen}")
            for pool in network.pools
        ),
        mtu=network.mtu,
        icc=network.icc,
        owned=network.bridge_owned,
        internal=network.internal,
    )


def wanted_parent(network: Network) -> Parent:
    """Return the host's link on which a network's containers have their links."""
    return Parent(network.bridge, _stacking(network))


def _stacking(network: Network) -> Stacking:
    mode = mode_name(network.driver, network.options)
    return Stacking(network.driver, MODES[network.driver][mode])


def sandbox_endpoints(
    wanted: Iterable[membership.Endpoint], network_of: Callable[[NetworkId], Network]
) -> tuple[Endpoint, ...]:
    """Return a sandbox's interfaces. Only the leading endpoints get default routes."""
    endpoints = tuple(wanted)
    leading = membership.leader(endpoints)
    leading6 = membership.leader(endpoints, ipv6=True)
    return tuple(
        _endpoint(
            each,
            network_of(each.network),
            (each.gateway if each is leading else "", each.gateway6 if each is leading6 else ""),
        )
        for each in endpoints
    )


def _endpoint(
    endpoint: membership.Endpoint, network: Network, gateways: tuple[str, str]
) -> Endpoint:
    next_hops = tuple(map(ip_address, filter(None, gateways)))
    plain = Endpoint(
        bridge=network.bridge,
        slot=endpoint.slot,
        addresses=tuple(map(ip_interface, filter(None, (endpoint.address, endpoint.address6)))),
        mac=endpoint.mac,
        mtu=network.mtu,
        icc=network.icc,
        gateways=next_hops,
        sysctls=tuple(map(_sysctl, endpoint.sysctls)),
    )
    if network.is_bridged:
        return plain
    if has_routed_links(network):
        next_hops = tuple(type(each)(0) for each in next_hops)
    mtu = network.mtu if MTU_OPTION in network.options else 0
    return replace(plain, stacking=_stacking(network), gateways=next_hops, mtu=mtu)


def _sysctl(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value
