"""Compute what the firewall should hold from networks and containers."""

from collections.abc import Collection, Iterable, Iterator
from ipaddress import ip_address, ip_network

from engine.domain.container.attachment import Endpoint, leader
from engine.domain.container.spec import PortBinding
from engine.domain.container.state import Container
from engine.domain.network.state import Network
from engine.drivers.networks.ruleset import (
    ANY_ADDRESS,
    ANY_ADDRESS_6,
    Address,
    BridgeRules,
    FirewallPlan,
    Protocol,
    PublishedPort,
)

_PROTOCOLS = {"tcp": Protocol.TCP, "udp": Protocol.UDP, "sctp": Protocol.SCTP}


def firewall_plan(networks: Iterable[Network], containers: Collection[Container]) -> FirewallPlan:
    """Return everything that the table should hold."""
    ports = (
        port
        for container in containers
        for port in published_ports(container, container.desired_endpoints)
    )
    bridged = (each for each in networks if each.is_bridged)
    return FirewallPlan(frozenset(map(bridge_rules, bridged)), frozenset(ports))


def bridge_rules(network: Network) -> BridgeRules:
    """Return the rules for a network's bridge."""
    return BridgeRules(
        name=network.bridge,
        subnets=tuple(ip_network(pool.subnet) for pool in network.pools),
        masquerade=network.masquerade,
        internal=network.internal,
        icc=network.icc,
    )


def published_ports(
    container: Container, endpoints: Iterable[Endpoint]
) -> tuple[PublishedPort, ...]:
    """Return a container's ports, leading to the endpoints that provide its default gateways."""
    present = tuple(endpoints)
    leading, leading6 = leader(present), leader(present, ipv6=True)
    targets = (
        *((leading.address,) if leading else ()),
        *((leading6.address6,) if leading6 else ()),
    )
    addresses = [ip_address(each.partition("/")[0]) for each in targets]
    return tuple(port for binding in container.ports for port in _published(binding, addresses))


def _published(binding: PortBinding, addresses: Iterable[Address]) -> Iterator[PublishedPort]:
    """Yield one port for each IP version that both the binding and the container have."""
    for address in addresses:
        if not binding.host_ip or ip_address(binding.host_ip).version == address.version:
            yield published_port(binding, address)


def published_port(binding: PortBinding, address: Address) -> PublishedPort:
    """Return one port of the host that leads to a container's address."""
    anywhere = ANY_ADDRESS if address.version == 4 else ANY_ADDRESS_6
    return PublishedPort(
        protocol=_PROTOCOLS[binding.protocol],
        host_address=ip_address(binding.host_ip) if binding.host_ip else anywhere,
        host_port=binding.host_port,
        address=address,
        port=binding.container_port,
    )
