"""Convert a container's places in networks to Docker's JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.api.containers.spec.ports import published_json
from engine.api.http.json_bodies import Json
from engine.domain import naming
from engine.domain.container.attachment import dns_names, endpoint_id
from engine.domain.container.namespace_sharing import HOST, NONE
from engine.domain.container.spec import DEFAULT_NETWORK, Membership
from engine.domain.container.state import Container
from engine.domain.ids import NetworkId
from engine.domain.network.state import Network

Networks = Mapping[NetworkId, Network]


_OF_DEFAULT_NETWORK: Final = (
    *("EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "MacAddress"),
    *("IPv6Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen"),
)


def endpoints_json(container: Container, networks: Networks) -> Json:
    """Return a container's EndpointSettings by the names of its networks. Without a process it has
    no address.
    """
    mode = container.spec.network_mode
    if mode in (NONE, HOST):
        return {mode: _place_without_addresses(container, networks)}
    return {each.name: _endpoint_json(container, each) for each in container.networks}


def _place_without_addresses(container: Container, networks: Networks) -> Json:
    if not container.is_running:
        return _empty_endpoint("")
    network = next(each for each in networks.values() if each.name == container.spec.network_mode)
    return _empty_endpoint(network.id) | {
        "EndpointID": endpoint_id(container.id, network.id, container.run)
    }


def _endpoint_json(container: Container, membership: Membership) -> Json:
    found = _empty_endpoint(membership.network) | _requested_json(container, membership)
    endpoint = next((each for each in container.endpoints if each.name == membership.name), None)
    if endpoint is None or not container.is_running:
        return found
    address, _, prefix = endpoint.address.partition("/")
    address6, _, prefix6 = endpoint.address6.partition("/")
    return found | {
        "NetworkID": endpoint.network,
        "EndpointID": endpoint_id(container.id, endpoint.network, container.run),
        "MacAddress": endpoint.mac,
        "Gateway": endpoint.gateway,
        "IPAddress": address,
        "IPPrefixLen": int(prefix or 0),
        "IPv6Gateway": endpoint.gateway6,
        "GlobalIPv6Address": address6,
        "GlobalIPv6PrefixLen": int(prefix6 or 0),
    }


def _requested_json(container: Container, membership: Membership) -> Json:
    fixed = {"IPv4Address": membership.ipv4, "IPv6Address": membership.ipv6}
    has_names = membership.name != DEFAULT_NETWORK
    return {
        "IPAMConfig": {key: value for key, value in fixed.items() if value} or None,
        "Links": list(membership.links) or None,
        "Aliases": list(membership.aliases) or None,
        "DriverOpts": membership.driver_options or None,
        "GwPriority": membership.gateway_priority,
        "DNSNames": list(dns_names(container.name, container.id, membership))
        if has_names
        else None,
    }


def _empty_endpoint(network: str) -> Json:
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "MacAddress": "",
        "DriverOpts": None,
        "GwPriority": 0,
        "NetworkID": network,
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
    }


def network_settings_json(container: Container, networks: Networks, exec_root: Path) -> Json:
    """Return ``NetworkSettings``; the fields outside ``Networks`` are those of the default bridge,
    as in Docker.
    """
    endpoints = endpoints_json(container, networks)
    sandbox = container.sandbox if container.is_running else None
    settings: Json = {
        "Bridge": "",
        "SandboxID": sandbox or "",
        "SandboxKey": str(naming.sandbox_path(exec_root, sandbox)) if sandbox else "",
        "Ports": published_json(container),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": "",
        "Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "MacAddress": "",
        "Networks": endpoints,
    }
    if endpoint := endpoints.get(DEFAULT_NETWORK):
        settings |= {field: endpoint[field] for field in _OF_DEFAULT_NETWORK}
    return settings
