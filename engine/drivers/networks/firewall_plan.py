"""What the firewall should hold, computed from networks and containers."""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from engine.domain.container import Container
from engine.domain.network import Network
from engine.domain.spec import PortBinding
from engine.drivers.networks.ruleset import (
    ANY_ADDRESS,
    BridgeRules,
    FirewallPlan,
    Protocol,
    PublishedPort,
)

_PROTOCOLS = {"tcp": Protocol.TCP, "udp": Protocol.UDP, "sctp": Protocol.SCTP}


def firewall_plan(network: Network, containers: Collection[Container]) -> FirewallPlan:
    """The whole table."""
    rules = BridgeRules(network.bridge, IPv4Network(network.subnet))
    ports = (port for container in containers for port in published_ports(container))
    return FirewallPlan(frozenset({rules}), frozenset(ports))


def published_ports(container: Container) -> tuple[PublishedPort, ...]:
    """A container's ports, as the firewall knows them."""
    if container.endpoint is None:
        return ()
    address = IPv4Interface(container.endpoint.address).ip
    return tuple(published_port(binding, address) for binding in container.ports)


def published_port(binding: PortBinding, address: IPv4Address) -> PublishedPort:
    """One port of the host that leads to a container's address."""
    return PublishedPort(
        protocol=_PROTOCOLS[binding.protocol],
        host_address=IPv4Address(binding.host_ip) if binding.host_ip else ANY_ADDRESS,
        host_port=binding.host_port,
        address=address,
        port=binding.container_port,
    )
