"""Networks and endpoints: domain → Docker JSON."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

from engine.api.http.json_bodies import Json
from engine.api.http.requests import ApiVersion
from engine.api.http.router import VERSION_MAX
from engine.api.shapes.ports import published_json
from engine.api.times import stamp
from engine.domain import naming
from engine.domain.container import Container
from engine.domain.ids import NetworkId
from engine.domain.network import Network
from engine.domain.spec import NetworkMode

Networks = Mapping[NetworkId, Network]

_ENABLE_IPV4_SINCE: Final[ApiVersion] = (1, 48)


def endpoint_json(container: Container, networks: Networks) -> Json:
    """A container's place in its network: EndpointSettings. Without a process it has no address."""
    found = _empty_endpoint(_network_id(container, networks))
    if container.is_running:
        found["EndpointID"] = endpoint_id(container)
        if endpoint := container.endpoint:
            address, _, prefix = endpoint.address.partition("/")
            found |= {
                "MacAddress": endpoint.mac,
                "Gateway": endpoint.gateway,
                "IPAddress": address,
                "IPPrefixLen": int(prefix),
            }
    return found


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


def _network_id(container: Container, networks: Networks) -> str:
    if container.endpoint is not None:
        return container.endpoint.network
    if not container.is_running:
        return ""
    return next(
        (each.id for each in networks.values() if each.name == container.spec.network_mode), ""
    )


def endpoint_id(container: Container) -> str:
    """64 digits that name this run's place in its network; computed, because nothing needs to remember it."""
    return sha256(f"endpoint/{container.id}/{container.run}".encode()).hexdigest()


def network_settings_json(container: Container, networks: Networks, exec_root: Path) -> Json:
    """``NetworkSettings``; what stands outside ``Networks`` is that of the default bridge, as in Docker."""
    endpoint = endpoint_json(container, networks)
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
        "Networks": {container.spec.network_mode: endpoint},
    }
    if container.spec.network_mode is NetworkMode.BRIDGE:
        for field in ("EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "MacAddress"):
            settings[field] = endpoint[field]
    return settings


def network_json(
    network: Network, members: Iterable[Container], version: ApiVersion = VERSION_MAX
) -> Json:
    """A network: Docker's Network, with the running containers that are in it."""
    is_bridge = network.driver == "bridge"
    shown: Json = {
        "Name": network.name,
        "Id": network.id,
        "Created": stamp(network.created_ns),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {
            "Driver": "default",
            "Options": None,
            "Config": [{"Subnet": network.subnet, "Gateway": network.gateway}] if is_bridge else [],
        },
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {member.id: _member_json(member) for member in members if member.is_running},
        "Options": _bridge_options(network) if is_bridge else {},
        "Labels": {},
    }
    if version < _ENABLE_IPV4_SINCE:
        del shown["EnableIPv4"]
    return shown


def _member_json(container: Container) -> Json:
    endpoint = container.endpoint
    return {
        "Name": container.name,
        "EndpointID": endpoint_id(container),
        "MacAddress": endpoint.mac if endpoint else "",
        "IPv4Address": endpoint.address if endpoint else "",
        "IPv6Address": "",
    }


def _bridge_options(network: Network) -> dict[str, str]:
    return {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",  # noqa: S104  (told, not bound)
        "com.docker.network.bridge.name": network.bridge,
        "com.docker.network.driver.mtu": "1500",
    }
