"""Convert exposed and published ports to the domain's values and back."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Final

from engine.api.http.json_bodies import Json, Wire
from engine.domain.container.attachment import leader
from engine.domain.container.spec import PortBinding
from engine.domain.container.state import Container
from engine.errors import InvalidRequest

_PORT: Final = re.compile(r"(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?(?:/(?P<protocol>\w+))?")
_HOST_PORT: Final = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?")
_PROTOCOLS: Final = ("tcp", "udp", "sctp")
_PORT_MAX: Final = 65535
_EVERYWHERE: Final = "0.0.0.0"  # noqa: S104  (shown, not bound)
_EVERYWHERE_6: Final = "::"


class BindingWire(Wire, frozen=True, kw_only=True):
    """Docker's PortBinding."""

    host_ip: str | None = None
    host_port: str | None = None


def parse_ports(text: str) -> tuple[tuple[int, str], ...]:
    """Return the ports that ``80``, ``80/udp`` or ``8000-8010/tcp`` means, with their protocol.

    Raises:
        InvalidRequest: it is none of these.
    """
    match = _PORT.fullmatch(text)
    if match is None:
        raise InvalidRequest(f'invalid port specification: "{text}"')
    first, last = int(match["first"]), int(match["last"] or match["first"])
    protocol = (match["protocol"] or "tcp").lower()
    if not first <= last <= _PORT_MAX:
        raise InvalidRequest(f'invalid port specification: "{text}"')
    if protocol not in _PROTOCOLS:
        raise InvalidRequest(f"invalid proto: {protocol}")
    return tuple((port, protocol) for port in range(first, last + 1))


def exposed_ports(names: Iterable[str]) -> tuple[str, ...]:
    """Return exposed ports in one form, each once, in order."""
    found = {port for name in names for port in parse_ports(name)}
    return tuple(f"{port}/{protocol}" for port, protocol in sorted(found))


def port_bindings(bindings: Mapping[str, Iterable[BindingWire] | None]) -> tuple[PortBinding, ...]:
    """Parse ``{"80/tcp": [{"HostPort": "8080"}]}``; a port without bindings gets one, at a port
    that the engine chooses.
    """
    return tuple(
        _binding(port, protocol, wire)
        for name, wires in bindings.items()
        for port, protocol in parse_ports(name)
        for wire in wires or (BindingWire(),)
    )


def _binding(container_port: int, protocol: str, wire: BindingWire) -> PortBinding:
    host_ip, host_port = wire.host_ip or "", wire.host_port or "0"
    if host_ip:
        try:
            ip_address(host_ip)
        except ValueError:
            raise InvalidRequest(f"invalid IP address: {host_ip}") from None
    match = _HOST_PORT.fullmatch(host_port)
    first, last = (int(match["first"]), int(match["last"] or match["first"])) if match else (1, 0)
    if not first <= last <= _PORT_MAX:
        raise InvalidRequest(f'invalid port specification: "{host_port}"')
    return PortBinding(
        container_port=container_port,
        protocol=protocol,
        host_ip=host_ip,
        host_port=first,
        host_port_last=last if last > first else 0,
    )


def bindings_json(ports: Iterable[PortBinding]) -> Json:
    """Return the ports as they were requested: ``HostConfig.PortBindings``."""
    found: dict[str, list[Json]] = {}
    for port in ports:
        host_port = str(port.host_port) if port.host_port else ""
        if port.host_port_last:
            host_port += f"-{port.host_port_last}"
        found.setdefault(_name(port), []).append({"HostIp": port.host_ip, "HostPort": host_port})
    return found


def published_json(container: Container) -> Json:
    """Return the ports as they are: ``NetworkSettings.Ports``. An exposed port that is not
    published is null.
    """
    if not _has_ports(container):
        return {}
    found: dict[str, list[Json] | None] = dict.fromkeys(container.spec.exposed_ports)
    for port in container.ports:
        bound = found.get(_name(port)) or []
        found[_name(port)] = [
            *bound,
            *(
                {"HostIp": address, "HostPort": str(port.host_port)}
                for address in _host_addresses(container, port)
            ),
        ]
    return dict(sorted(found.items()))


def summary_ports(container: Container) -> list[Json]:
    """Return the ports for the list: flat, the unpublished ones without an address."""
    if not _has_ports(container):
        return []
    published = [
        {
            "IP": address,
            "PrivatePort": port.container_port,
            "PublicPort": port.host_port,
            "Type": port.protocol,
        }
        for port in container.ports
        for address in _host_addresses(container, port)
    ]
    bound = {_name(port) for port in container.ports}
    private = [
        {"PrivatePort": port, "Type": protocol}
        for name in container.spec.exposed_ports
        if name not in bound
        for port, protocol in parse_ports(name)
    ]
    return [*published, *private]


def _has_ports(container: Container) -> bool:
    """Return whether ports are shown: none are without a network that has a default route, as in
    Docker.
    """
    endpoints = container.endpoints
    has_way_out = leader(endpoints) is not None or leader(endpoints, ipv6=True) is not None
    return container.is_running and has_way_out


def _host_addresses(container: Container, port: PortBinding) -> tuple[str, ...]:
    """Return where a port is published: if no address is requested, on all addresses of each IP
    version that the container has a default route for.
    """
    if port.host_ip:
        return (port.host_ip,)
    has_ipv6 = leader(container.endpoints, ipv6=True) is not None
    has_ipv4 = leader(container.endpoints) is not None or not has_ipv6
    return (*((_EVERYWHERE,) if has_ipv4 else ()), *((_EVERYWHERE_6,) if has_ipv6 else ()))


def _name(port: PortBinding) -> str:
    return f"{port.container_port}/{port.protocol}"
