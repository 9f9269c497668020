"""Convert networks and endpoints to Docker's JSON."""

from collections.abc import Iterable
from typing import Final

from engine.api.http.json_bodies import Json
from engine.api.http.requests import ApiVersion
from engine.api.http.router import VERSION_MAX
from engine.api.networks.answers import NetworkMember
from engine.api.times import stamp
from engine.domain.container.attachment import endpoint_id
from engine.domain.container.state import Container
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

_ENABLE_IPV4_SINCE: Final[ApiVersion] = (1, 48)


def network_json(
    network: Network, members: Iterable[Container], version: ApiVersion = VERSION_MAX
) -> Json:
    """Return Docker's Network, with the running containers that are in it."""
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
        HOST_BINDING_OPTION: "0.0.0.0",  # noqa: S104  (shown, not bound)
        BRIDGE_NAME_OPTION: network.bridge,
        MTU_OPTION: str(network.mtu),
    }
