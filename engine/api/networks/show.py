"""Convert networks and endpoints to Docker's JSON."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from engine.api.containers.spec.ports import published_json
from engine.api.http.json_bodies import Json
from engine.api.http.requests import ApiVersion
from engine.api.http.router import VERSION_MAX
from engine.api.networks.answers import NetworkMember
from engine.api.times import stamp
from engine.domain import naming
from engine.domain.container.attachment import dns_names, endpoint_id
from engine.domain.container.namespace_sharing import HOST, NONE
from engine.domain.container.spec import DEFAULT_NETWORK, Membership
from engine.domain.container.state import Container
from engine.domain.ids import NetworkId
from engine.domain.network.state import (
    BRIDGE_NAME_OPTION,
    DEFAULT_BRIDGE_OPTION,
    HOST_BINDING_OPTION,
    ICC_OPTION,
    MASQUERADE_OPTION,
    MTU_OPTION,
    Network,
    Pool,
)

Networks = Mapping[NetworkId, Network]

_ENABLE_IPV4_SINCE: Final[ApiVersion] = (1, 48)
_OF_DEFAULT_NETWORK: Final = (
    *("EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "MacAddress"),
    *("IPv6Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen"),
)


def endpoints_json(container: Container, networks: Networks) -> Json:
    """A container's places in networks, by the networks' names: EndpointSettings. Without a process
    it has no address.
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
    found = _empty_endpoint(membership.network) | _wishes_json(container, membership)
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


def _wishes_json(container: Container, membership: Membership) -> Json:
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
    """``NetworkSettings``; what stands outside ``Networks`` is that of the default bridge, as in
    Docker.
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


def network_json(
    network: Network, members: Iterable[Container], version: ApiVersion = VERSION_MAX
) -> Json:
    """A network: Docker's Network, with the running containers that are in it."""
    shown: Json = {
        "Name": network.name,
        "Id": network.id,
        "Created": stamp(network.created_ns),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": network.ipv4 is not None or not network.bridge,
        "EnableIPv6": network.ipv6 is not None,
        "IPAM": {
            "Driver": "default",
            "Options": None if not network.bridge or network.is_default else {},
            "Config": [_pool_json(pool) for pool in network.pools],
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {
            member.id: _member_json(member, network) for member in members if member.is_running
        },
        "Options": _default_options(network) if network.is_default else network.options,
        "Labels": network.labels,
    }
    if version < _ENABLE_IPV4_SINCE:
        del shown["EnableIPv4"]
    return shown


def _pool_json(pool: Pool) -> Json:
    shown: Json = {"Subnet": pool.subnet}
    if pool.ip_range:
        shown["IPRange"] = pool.ip_range
    shown["Gateway"] = pool.gateway
    if pool.auxiliary:
        shown["AuxiliaryAddresses"] = pool.auxiliary
    return shown


def _member_json(container: Container, network: Network) -> NetworkMember:
    endpoint = next((each for each in container.endpoints if each.network == network.id), None)
    return {
        "Name": container.name,
        "EndpointID": endpoint_id(container.id, network.id, container.run),
        "MacAddress": endpoint.mac if endpoint else "",
        "IPv4Address": endpoint.address if endpoint else "",
        "IPv6Address": endpoint.address6 if endpoint else "",
    }


def _default_options(network: Network) -> dict[str, str]:
    return {
        DEFAULT_BRIDGE_OPTION: "true",
        ICC_OPTION: "true",
        MASQUERADE_OPTION: "true",
        HOST_BINDING_OPTION: "0.0.0.0",  # noqa: S104  (told, not bound)
        BRIDGE_NAME_OPTION: network.bridge,
        MTU_OPTION: str(network.mtu),
    }
