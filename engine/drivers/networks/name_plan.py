"""Compute what the resolver should know from containers and networks."""

from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address

from engine.domain.container.attachment import Endpoint, dns_names
from engine.domain.container.etc_files import servers_of
from engine.domain.container.spec import Membership
from engine.domain.container.state import Container, is_in
from engine.domain.ids import ContainerId, NetworkId, SandboxId
from engine.domain.network.state import Network
from engine.drivers.resolver.records import HostNames, Listener
from engine.drivers.storage.rootfs import host_resolv_conf

NetworkOf = Callable[[NetworkId], Network]


def host_names(container: Container, network_of: NetworkOf) -> tuple[HostNames, ...]:
    """Return a container's names on each of its networks that has names; nothing if it holds no
    endpoints.
    """
    if not container.holds_endpoints:
        return ()
    return tuple(
        HostNames(
            owner=container.id,
            network=endpoint.network,
            network_name=endpoint.name,
            names=dns_names(container.name, container.id, _membership(container, endpoint)),
            addresses=tuple(map(ip_address, endpoint.addresses)),
            process=container.process,
        )
        for endpoint in container.desired_endpoints
        if network_of(endpoint.network).has_names
    )


def _membership(container: Container, endpoint: Endpoint) -> Membership:
    found = (each for each in container.networks if is_in(each, endpoint.network, endpoint.name))
    return next(found, Membership(name=endpoint.name))


def listener(
    sandbox: SandboxId,
    endpoints: Iterable[Endpoint],
    network_of: NetworkOf,
    servers: Iterable[str] = (),
    links: Iterable[tuple[str, str]] = (),
) -> Listener | None:
    """Return what the resolver should answer in a sandbox; None if none of its networks has
    names.
    """
    asked = tuple(servers)
    networks = [network_of(each.network) for each in endpoints]
    if not any(each.has_names for each in networks):
        return None
    return Listener(
        sandbox=sandbox,
        networks=tuple(each.id for each in networks if each.has_names),
        servers=servers_of(host_resolv_conf(), asked),
        from_host=not asked,
        forward=any(not each.internal for each in networks),
        links=tuple(links),
    )


def network_listener(sandbox: SandboxId, network: Network) -> Listener | None:
    """Return what the resolver should answer in a sandbox that is prepared for the next container
    of a network.
    """
    place = Endpoint(network=network.id, name=network.name, mac="")
    return listener(sandbox, (place,), lambda _: network)


def links(
    container: Container, container_named: Callable[[str], ContainerId | None]
) -> Iterator[tuple[str, str]]:
    """Yield a container's links: an alias, and the container that it means; missing containers are
    skipped.
    """
    for membership in container.networks:
        for link in membership.links:
            name, _, alias = link.partition(":")
            if found := container_named(name):
                yield alias or name, found
