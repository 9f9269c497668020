"""Parse ``-p``, and format published ports for ``ps``."""

import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final

_PROTOCOLS: Final = ("tcp", "udp", "sctp")
_PORT_MAX: Final = 65535


def parse_publish(text: str) -> list[tuple[str, dict[str, str]]]:
    """Convert ``[[address:]host port:]container port[/protocol]``, also with ranges, to
    (``80/tcp``, binding) pairs.

    Raises:
        ValueError: malformed, with Docker's message.
    """
    written, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    address, host, container = _split(written)
    if not container:
        raise ValueError(f"no port specified: {text}<empty>")
    if address and not is_address(address):
        raise ValueError(f"invalid IP address: {address}")
    first, last = _range(container, "containerPort")
    if protocol not in _PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    if not host:
        hosts = [""] * (last - first + 1)
    else:
        host_first, host_last = _range(host, "hostPort")
        if last - first != host_last - host_first:
            if first != last:
                raise ValueError(
                    f"invalid ranges specified for container and host Ports: {container} and {host}"
                )
            return [(f"{first}/{protocol}", _binding(address, f"{host_first}-{host_last}"))]
        hosts = [str(port) for port in range(host_first, host_last + 1)]
    return [
        (f"{first + offset}/{protocol}", _binding(address, port))
        for offset, port in enumerate(hosts)
    ]


def parse_expose(text: str) -> list[str]:
    """Convert ``80``, ``80/udp`` or ``80-90`` to the form ``80/tcp``.

    Raises:
        ValueError: malformed.
    """
    if ":" in text:
        raise ValueError(f"invalid port format for --expose: {text}")
    ports, _, protocol = text.partition("/")
    try:
        first, last = _range(ports, "containerPort")
    except ValueError:
        reason = f'strconv.ParseUint: parsing "{ports}": invalid syntax'
        raise ValueError(f"invalid range format for --expose: {text}, error: {reason}") from None
    return [f"{port}/{protocol or 'tcp'}" for port in range(first, last + 1)]


def is_address(text: str) -> bool:
    """True if ``text`` is an IPv4 or IPv6 address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except OSError:
            continue
        return True
    return False


def _split(written: str) -> tuple[str, str, str]:
    if written.startswith("["):
        address, _, rest = written[1:].partition("]:")
        host, _, container = rest.rpartition(":")
        return address, host, container
    *front, container = written.split(":")
    if len(front) > 1:
        return ":".join(front[:-1]), front[-1], container
    return "", front[0] if front else "", container


def _range(text: str, name: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    numbers = [first, last or first]
    if not all(number.isdigit() and int(number) <= _PORT_MAX for number in numbers):
        raise ValueError(f"invalid {name}: {text}")
    if int(numbers[0]) > int(numbers[1]):
        raise ValueError(f"invalid {name}: {text}")
    return int(numbers[0]), int(numbers[1])


def _binding(address: str, port: str) -> dict[str, str]:
    return {"HostIp": address, "HostPort": port}


def displayed(ports: Iterable[Mapping[str, Any]]) -> str:  # Any: JSON of the API
    """Format the PORTS column: ``0.0.0.0:8000-8001->80-81/tcp, 90/tcp``; neighbours become one
    range.
    """
    grouped: dict[tuple[str, str, bool], list[tuple[int, int]]] = {}
    alone: list[tuple[int, int, str, str]] = []
    for port in sorted(ports, key=_order):
        private, public = int(port["PrivatePort"]), int(port.get("PublicPort") or 0)
        address, protocol = str(port.get("IP") or ""), str(port["Type"])
        if public and public != private:
            alone.append((private, public, address, protocol))
            continue
        runs = grouped.setdefault((address, protocol, bool(public)), [])
        if runs and runs[-1][1] + 1 == private:
            runs[-1] = (runs[-1][0], private)
        elif not runs or runs[-1][1] != private:
            runs.append((private, private))
    shown = [_mapped(a, f"{public}", f"{private}", p) for private, public, a, p in alone]
    for (address, protocol, published), runs in grouped.items():
        for first, last in runs:
            span = str(first) if first == last else f"{first}-{last}"
            shown.append(
                _mapped(address, span, span, protocol) if published else f"{span}/{protocol}"
            )
    return ", ".join(sorted(shown, key=_shown_order))


def _mapped(address: str, public: str, private: str, protocol: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{public}->{private}/{protocol}"


def _order(port: Mapping[str, Any]) -> tuple[int, str, str, int]:
    return (
        int(port["PrivatePort"]),
        str(port.get("IP") or ""),
        str(port["Type"]),
        int(port.get("PublicPort") or 0),
    )


def _shown_order(text: str) -> tuple[int, str]:
    private = text.rpartition("->")[2].partition("/")
    return int(private[0].partition("-")[0]), private[2]
