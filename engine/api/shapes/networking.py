"""How a container is connected: modes, endpoints, names and addresses; every refusal is in Docker's words."""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from engine.api.http.requests import ApiVersion
from engine.api.shapes.wire_container import CreateWire, EndpointWire, HostConfigWire
from engine.domain.sharing import HOST, is_with_container, lender_in
from engine.domain.spec import NetworkMode
from engine.errors import InvalidRequest, Unsupported

_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
_MAC_OF_ENDPOINT_SINCE: Final[ApiVersion] = (1, 44)
_DEFAULT_NETWORKS: Final = ("", "default", "bridge")


def network_mode(asked: CreateWire, host: HostConfigWire) -> NetworkMode:
    """Where the network namespace comes from.

    Raises:
        InvalidRequest: no such network, or a wish that this one can't fulfil.
        Unsupported: another container's network, or a name for one.
    """
    mode = host.network_mode or ""
    chosen = "bridge" if mode in _DEFAULT_NETWORKS else mode
    _check_conflicts(asked, host, chosen)
    if is_with_container(chosen):
        raise Unsupported("sharing the network of another container is not supported yet")
    if chosen not in set(NetworkMode):
        # No 404, which clients take for a missing image, and pull that.
        raise InvalidRequest(f"network {chosen} not found")
    for name, endpoint in _endpoints(asked).items():
        _check_endpoint(name, endpoint, chosen)
    if host.links:
        raise Unsupported("links are not supported yet")
    return NetworkMode.NONE if asked.network_disabled else NetworkMode(chosen)


def _check_conflicts(asked: CreateWire, host: HostConfigWire, mode: str) -> None:
    """What a namespace that is not the container's own has already, nobody can choose; the order is Docker's."""
    borrowed = is_with_container(mode)
    if borrowed and not lender_in(mode):
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


def _check_endpoint(name: str, endpoint: EndpointWire, mode: str) -> None:
    if (name in _DEFAULT_NETWORKS) != (mode == "bridge") and name != mode:
        raise InvalidRequest(f"network {name} not found")
    if any((endpoint.ipam_config or {}).values()):
        raise InvalidRequest("user specified IP address is supported on user defined networks only")
    if endpoint.aliases:
        raise InvalidRequest(
            "network-scoped alias is supported only for containers in user defined networks"
        )
    if endpoint.links:
        raise Unsupported("links are not supported yet")
    if endpoint.driver_opts:
        raise Unsupported("driver options of an endpoint are not supported yet")


def _endpoints(asked: CreateWire) -> dict[str, EndpointWire]:
    networking = asked.networking_config
    configs = networking.endpoints_config if networking else None
    return {name: endpoint or EndpointWire() for name, endpoint in (configs or {}).items()}


def mac_address(asked: CreateWire) -> str:
    """The link's address; older clients name it beside the networks.

    Raises:
        InvalidRequest: it is none.
    """
    given = (each.mac_address for each in _endpoints(asked).values() if each.mac_address)
    address = next(given, asked.mac_address or "")
    if address and not _MAC.fullmatch(address):
        raise InvalidRequest(f"invalid MAC address: {address}")
    return address.lower().replace("-", ":")


def name_servers(texts: Iterable[str]) -> tuple[str, ...]:
    """Addresses to ask for names.

    Raises:
        InvalidRequest: it is no address.
    """
    for text in texts:
        if not _is_address(text):
            raise InvalidRequest(f"IP address is not correctly formatted: {text}")
    return tuple(texts)


def extra_hosts(texts: Iterable[str]) -> tuple[str, ...]:
    """``NAME:ADDRESS``, where ``host-gateway`` stands for the host as the container sees it.

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
    """What is asked for in vain, or in a way that will go."""
    if asked.mac_address and version >= _MAC_OF_ENDPOINT_SINCE:
        yield (
            "The container-wide MacAddress field is now deprecated."
            " It should be specified in EndpointsConfig instead."
        )
    if host.network_mode == HOST and host.port_bindings:
        yield "Published ports are discarded when using host network mode"
