"""What the firewall should hold, and how that is said in nft's language. Pure.

Theory of operation
-------------------
One table of family ``ip`` for one instance. What grows with the number of containers is data, not rules: a published port
is one element of a map, so a packet costs the same with one port as with a thousand, and so does adding one.

    prerouting ─┐ to an address of the host's own                ┌─ ports_at  (protocol, address, port) → container, port
    output ─────┴──────────────▶ chain published ──── dnat to ───┴─ ports     (protocol, port)          → container, port

    postrouting   from 127.0.0.0/8 to a bridge          masquerade   the host calls a published port at localhost
                  from a bridge, translated, back to it masquerade   a container calls itself or a neighbour by the host's
                                                                     address: the answer must come back this way, too
                  from a bridge to elsewhere            masquerade   containers call the world

    forward       answers                               accept
                  within one bridge; translated         accept
                  else to a bridge                      drop         other networks, and machines that route to us, reach
                                                                     published ports only

    raw           from a bridge to 127.0.0.0/8          drop         ``route_localnet`` opens the host's loopback to them

The source address of a caller from outside is kept. "Accept" ends our table's say only: an administrator's own tables
still drop what they drop. Protocols are numbers, because their names depend on the machine's /etc/protocols.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final

ANY_ADDRESS: Final = IPv4Address(0)
PORTS: Final = "ports"
PORTS_AT: Final = "ports_at"


class Protocol(IntEnum):
    """Protocols that have ports. IANA, Assigned Internet Protocol Numbers."""

    TCP = 6
    UDP = 17
    SCTP = 132


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port of the host that leads to one of a container."""

    protocol: Protocol
    host_address: IPv4Address
    """The host's address that is published, or 0.0.0.0: all of them."""
    host_port: int
    address: IPv4Address
    port: int

    @property
    def map(self) -> str:
        """The map that holds it."""
        return PORTS if self.host_address == ANY_ADDRESS else PORTS_AT

    @property
    def key(self) -> str:
        """What is looked up. Of two ports with the same key and map, only one can be published."""
        if self.host_address == ANY_ADDRESS:
            return f"{self.protocol:d} . {self.host_port}"
        return f"{self.protocol:d} . {self.host_address} . {self.host_port}"

    @property
    def element(self) -> str:
        """Key and target."""
        return f"{self.key} : {self.address} . {self.port}"


@dataclass(frozen=True, slots=True, order=True)
class BridgeRules:
    """What the firewall does for one bridge."""

    name: str
    subnet: IPv4Network
    masquerade: bool = True
    """Whether the outside sees the host's address instead of the containers'."""


@dataclass(frozen=True, slots=True)
class FirewallPlan:
    """Everything that the table should hold."""

    bridges: frozenset[BridgeRules] = frozenset()
    ports: frozenset[PublishedPort] = frozenset()


def replacement(table: str, plan: FirewallPlan) -> str:
    """Commands that put the planned table in place of whatever there is, as one transaction."""
    return f"add table ip {table}\ndelete table ip {table}\n{definition(table, plan)}"


def definition(table: str, plan: FirewallPlan) -> str:
    """The table in nft's language."""
    bridges = sorted(plan.bridges)
    return f"""table ip {table} {{
    set bridges {{
        type ifname
        {_elements(f'"{bridge.name}"' for bridge in bridges)}
    }}
    set within {{
        type ifname . ifname
        {_elements(f'"{bridge.name}" . "{bridge.name}"' for bridge in bridges)}
    }}
    map {PORTS} {{
        type inet_proto . inet_service : ipv4_addr . inet_service
        {_elements(port.element for port in plan.ports if port.map == PORTS)}
    }}
    map {PORTS_AT} {{
        type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
        {_elements(port.element for port in plan.ports if port.map == PORTS_AT)}
    }}
    chain raw {{
        type filter hook prerouting priority -300; policy accept;
        iifname @bridges ip daddr 127.0.0.0/8 drop
    }}
    chain published {{
        dnat ip to meta l4proto . ip daddr . th dport map @{PORTS_AT}
        dnat ip to meta l4proto . th dport map @{PORTS}
    }}
    chain prerouting {{
        type nat hook prerouting priority -100; policy accept;
        fib daddr type local jump published
    }}
    chain output {{
        type nat hook output priority -100; policy accept;
        fib daddr type local jump published
    }}
    chain postrouting {{
        type nat hook postrouting priority 100; policy accept;
        oifname @bridges ip saddr 127.0.0.0/8 masquerade
        {_lines(_masquerading(bridge) for bridge in bridges)}
    }}
    chain forward {{
        type filter hook forward priority 0; policy accept;
        ct state established,related accept
        iifname . oifname @within accept
        ct status dnat accept
        oifname @bridges drop
    }}
}}
"""


def additions(table: str, ports: Iterable[PublishedPort]) -> str:
    """Commands that publish ports."""
    return "".join(f"add element ip {table} {port.map} {{ {port.element} }}\n" for port in ports)


def deletions(table: str, ports: Iterable[PublishedPort]) -> str:
    """Commands that withdraw ports."""
    return "".join(f"delete element ip {table} {port.map} {{ {port.key} }}\n" for port in ports)


def ports_of(listing: Iterable[dict[str, Any]]) -> frozenset[PublishedPort]:
    """The published ports in what nft lists: libnftables-json(5), MAP."""
    return frozenset(
        _port(key["concat"], target["concat"])
        for each in listing
        if each.get("map", {}).get("name") in (PORTS, PORTS_AT)
        for key, target in each["map"].get("elem", ())
    )


def skeleton_of(listing: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What nft lists without the published ports and without what differs from one table to its equal."""
    return [{kind: _constant(about)} for each in listing for kind, about in each.items()]


def _constant(about: dict[str, Any]) -> dict[str, Any]:
    """An object without its handle, a number that is drawn; a set's elements in an order that does not hang on its seed."""
    constant = {key: value for key, value in about.items() if key not in ("handle", "elem")}
    if "elem" in about and about["name"] not in (PORTS, PORTS_AT):
        constant["elem"] = sorted(about["elem"], key=str)
    return constant


def _port(key: list[Any], target: list[Any]) -> PublishedPort:
    protocol, *address, host_port = key
    return PublishedPort(
        protocol=Protocol(int(protocol)),
        host_address=IPv4Address(address[0]) if address else ANY_ADDRESS,
        host_port=int(host_port),
        address=IPv4Address(target[0]),
        port=int(target[1]),
    )


def _masquerading(bridge: BridgeRules) -> str:
    source = f"ip saddr {bridge.subnet} oifname"
    back = f'{source} "{bridge.name}" ct status dnat masquerade'
    out = f'{source} != "{bridge.name}" masquerade'
    return f"{back}\n        {out}" if bridge.masquerade else back


def _elements(elements: Iterable[str]) -> str:
    """A set's contents; nft has no word for none."""
    joined = ", ".join(elements)
    return f"elements = {{ {joined} }}" if joined else ""


def _lines(lines: Iterable[str]) -> str:
    return "\n        ".join(lines)
