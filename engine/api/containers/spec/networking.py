"""Parse how a container is connected: modes, endpoints, names and addresses; every refusal has
Docker's message.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from engine.api.containers.spec.body import (
    CreateWire,
    EndpointIpamWire,
    EndpointWire,
    HostConfigWire,
)
from engine.api.containers.spec.namespace_modes import Lookup, known_container
from engine.api.http.requests import ApiVersion
from engine.domain.container.links import Link, parse_link
from engine.domain.container.namespace_sharing import (
    HOST,
    NONE,
    is_with_container,
    namespace_owner,
    with_container,
)
from engine.domain.container.spec import DEFAULT_NETWORK, Membership
from engine.errors import InvalidRequest, NotFound, Unsupported

_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
_MAC_OF_ENDPOINT_SINCE: Final[ApiVersion] = (1, 44)
_DEFAULT_NETWORKS: Final = ("", "default", "bridge")


def network_mode(asked: CreateWire, host: HostConfigWire, lookup: Lookup) -> str:
    """Return where the network namespace comes from: ``none``, ``host``, ``container:ID`` or a
    network's name.

    A network's name is not looked for: it may come to be.

    Raises:
        InvalidRequest: requests that contradict each other, or a container that does not exist.
    """
    mode = host.network_mode or ""
    chosen = DEFAULT_NETWORK if mode in _DEFAULT_NETWORKS else mode
    _check_conflicts(asked, host, chosen)
    if owner := namespace_owner(chosen):
        return with_container(known_container(owner, lookup).id)
    return NONE if asked.network_disabled else chosen


def links(host: HostConfigWire, mode: str, lookup: Lookup) -> tuple[str, ...]:
    """Return the links within the default network, each to the container that owns the target's
    network namespace.

    Raises:
        InvalidRequest: malformed, or to a container that is not there.
    """
    if mode != DEFAULT_NETWORK:
        return ()
    found = (_link(*parse_link(text), lookup) for text in host.links or ())
    return tuple(dict.fromkeys(map(str, found)))


def _link(name: str, alias: str, lookup: Lookup) -> Link:
    try:
        target = lookup(name) if name else None
        while target and (owner := namespace_owner(target.spec.network_mode)):
            target = lookup(owner)
    except NotFound as error:
        raise InvalidRequest(f"could not get container for {name}: {error}") from error
    if target is None:
        raise InvalidRequest('could not get container for : invalid name or ID supplied: ""')
    if target.spec.network_mode == HOST:
        raise InvalidRequest(
            "conflicting options: host type networking can't be used with links."
            " This would result in undefined behavior"
        )
    return Link(target.id, target.name, alias)


def _private_names(texts: Iterable[str]) -> tuple[str, ...]:
    for text in texts:
        parse_link(text)
    return tuple(texts)


def memberships(asked: CreateWire, mode: str) -> tuple[Membership, ...]:
    """Return the requested places in networks.

    Raises:
        InvalidRequest: a request that no such network could fulfil.
    """
    if mode in (NONE, HOST) or is_with_container(mode):
        return ()
    return tuple(
        membership(DEFAULT_NETWORK if name in _DEFAULT_NETWORKS else name, endpoint)
        for name, endpoint in _endpoints(asked).items()
    )


def membership(network: str, endpoint: EndpointWire) -> Membership:
    """Return one requested place.

    Raises:
        InvalidRequest: an address that is none, or a request that the default network can't fulfil.
    """
    addresses = endpoint.ipam_config or EndpointIpamWire()
    requested = Membership(
        name=network,
        ipv4=_address(addresses.ipv4_address, 4),
        ipv6=_address(addresses.ipv6_address, 6),
        mac=_mac(endpoint.mac_address or ""),
        aliases=tuple(dict.fromkeys(endpoint.aliases or ())),
        links=_private_names(endpoint.links or ()),
        driver_options=endpoint.driver_opts or {},
        gateway_priority=endpoint.gw_priority or 0,
    )
    if network == DEFAULT_NETWORK:
        _check_default(requested)
    if addresses.link_local_ips:
        raise Unsupported("link-local addresses of an endpoint are not supported")
    return requested


def _check_default(requested: Membership) -> None:
    if requested.ipv4 or requested.ipv6:
        raise InvalidRequest("user specified IP address is supported on user defined networks only")
    if requested.aliases:
        raise InvalidRequest(
            "network-scoped alias is supported only for containers in user defined networks"
        )


def _address(text: str | None, version: int) -> str:
    if not text:
        return ""
    try:
        address = ip_address(text)
    except ValueError:
        raise InvalidRequest(f"invalid IPv{version} address: {text}") from None
    if address.version != version:
        raise InvalidRequest(f"invalid IPv{version} address: {text}")
    return str(address)


def _check_conflicts(asked: CreateWire, host: HostConfigWire, mode: str) -> None:
    """Refuse what a namespace of another owner already has. The order is Docker's."""
    borrowed = is_with_container(mode)
    if borrowed and not namespace_owner(mode):
        raise InvalidRequest("invalid network mode: invalid container format container:<name|id>")
    conflicts = (
        (borrowed and asked.hostname, "hostname and the network mode"),
        (borrowed and host.links, "container type network can't be used with links. This would result in undefined behavior"),
        (borrowed and host.dns, "dns and the network mode"),
        (borrowed and host.extra_hosts, "custom host-to-IP mapping and the network mode"),
        ((borrowed or mode == HOST) and asked.mac_address, "mac-address and the network mode"),
        (borrowed and (host.port_bindings or host.publish_all_ports), "port publishing and the container type network mode"),
        (borrowed and asked.exposed_ports, "port exposing and the container type network mode"),
        (host.uts_mode == HOST and asked.hostname, "hostname and the UTS mode"),
        (mode == HOST and host.links, "host type networking can't be used with links. This would result in undefined behavior"),
    )  # fmt: skip
    for found, what in conflicts:
        if found:
            raise InvalidRequest(f"conflicting options: {what}")


def _endpoints(asked: CreateWire) -> dict[str, EndpointWire]:
    networking = asked.networking_config
    configs = networking.endpoints_config if networking else None
    return {name: endpoint or EndpointWire() for name, endpoint in (configs or {}).items()}


def mac_address(asked: CreateWire) -> str:
    """Return the link's address that older clients request beside the networks.

    Raises:
        InvalidRequest: it is none.
    """
    return _mac(asked.mac_address or "")


def _mac(text: str) -> str:
    if text and not _MAC.fullmatch(text):
        raise InvalidRequest(f"invalid MAC address: {text}")
    return text.lower().replace("-", ":")


def name_servers(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses of name servers.

    Raises:
        InvalidRequest: it is no address.
    """
    for text in texts:
        if not _is_address(text):
            raise InvalidRequest(f"IP address is not correctly formatted: {text}")
    return tuple(texts)


def extra_hosts(texts: Iterable[str]) -> tuple[str, ...]:
    """Parse ``NAME:ADDRESS``, where ``host-gateway`` stands for the host as the container sees it.

    Raises:
        InvalidRequest: of another form.
    """
    for text in texts:
        name, _, address = text.partition(":")
        if not name or not address:
            raise InvalidRequest(f'bad format for add-host: "{text}"')
        if address != "host-gateway" and not _is_address(address.strip("[]")):
            raise InvalidRequest(f'invalid IP address in add-host: "{address}"')
    return tuple(texts)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def networking_warnings(
    asked: CreateWire, host: HostConfigWire, version: ApiVersion
) -> Iterable[str]:
    """Warn about what is ignored or deprecated."""
    if asked.mac_address and version >= _MAC_OF_ENDPOINT_SINCE:
        yield (
            "The container-wide MacAddress field is now deprecated."
            " It should be specified in EndpointsConfig instead."
        )
    if host.network_mode == HOST and host.port_bindings:
        yield "Published ports are discarded when using host network mode"
