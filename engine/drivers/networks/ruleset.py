"""Write the firewall's rules in nft's language. Pure.

Theory of operation
-------------------
One table of family ``inet`` for each instance. Its rules are fixed; networks and published ports
are data, elements of sets and maps. So a packet costs the same with one port as with a thousand,
and so does adding one::

    prerouting ─┐ to an address of the host's own          ┌─ ports4_at  (protocol, address, port)
    output ─────┴──────────▶ chain published ─── dnat to ──┤             → container, port
                                                           ├─ ports4     (protocol, port)
                                                           │             → container, port
                                                           └─ ports6_at, ports6: the same of IPv6

    postrouting   from 127.0.0.0/8 to a bridge         masquerade  the host calls a published port
                                                                   at localhost
                  home: from a bridge's subnet to it
                     translated                        masquerade  a container calls itself or a
                                                                   neighbour by the host's address:
                                                                   the answer must return this way
                     else                              accept
                  from a bridge's subnet to elsewhere  masquerade  unless the network keeps the
                                                                   containers' addresses

    forward       answers                              accept
                  within one bridge                    accept      if its containers may reach each
                                                                   other
                  from or to an internal network       drop
                  translated                           accept
                  else to a bridge                     drop        other networks, and machines that
                                                                   route to the host, reach
                                                                   published ports only

    raw           from a bridge to 127.0.0.0/8         drop        ``route_localnet`` would let
                                                                   containers reach the loopback
                  from a bridge, not of its subnets    drop        forged
                  from elsewhere to 127.0.0.0/8        drop        ports published at localhost
                                                                   would be reached

The source address of a caller from outside is kept. "Accept" only ends the evaluation of this
table: an administrator's own tables still drop what they drop. Protocols are numbers, because their
names depend on the machine's /etc/protocols.

A port published at ``::1`` leads nowhere: the kernel lets no packet from ::1 leave the host, and
has no ``route_localnet`` for IPv6.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import Any, Final

Address = IPv4Address | IPv6Address
Subnet = IPv4Network | IPv6Network
ANY_ADDRESS: Final = IPv4Address(0)
ANY_ADDRESS_6: Final = IPv6Address(0)
MAPS: Final = ("ports4", "ports4_at", "ports6", "ports6_at")


class Protocol(IntEnum):
    """Protocols that have ports. IANA, Assigned Internet Protocol Numbers."""

    TCP = 6
    UDP = 17
    SCTP = 132


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port of the host that leads to one of a container; both addresses are of one IP version."""

    protocol: Protocol
    host_address: Address
    """The host's address that is published, or 0.0.0.0 or ``::`` for all of them."""
    host_port: int
    address: Address
    port: int

    @property
    def map(self) -> str:
        """The map that holds it."""
        everywhere = self.host_address in (ANY_ADDRESS, ANY_ADDRESS_6)
        return f"ports{self.host_address.version}{'' if everywhere else '_at'}"

    @property
    def key(self) -> str:
        """Return the key for the lookup. Of two ports with the same key and map, only one can be
        published.
        """
        if self.host_address in (ANY_ADDRESS, ANY_ADDRESS_6):
            return f"{self.protocol:d} . {self.host_port}"
        return f"{self.protocol:d} . {self.host_address} . {self.host_port}"

    @property
    def element(self) -> str:
        """Return the map's element: key and target."""
        return f"{self.key} : {self.address} . {self.port}"


@dataclass(frozen=True, slots=True)
class BridgeRules:
    """What the firewall does for one bridge."""

    name: str
    subnets: tuple[Subnet, ...]
    """At most one of a version."""
    masquerade: bool = True
    """Whether other networks see the host's address instead of the containers'."""
    internal: bool = False
    """Whether its containers can reach only each other and the host."""
    icc: bool = True
    """Whether its containers may reach each other."""


@dataclass(frozen=True, slots=True)
class FirewallPlan:
    """Everything that the table should hold."""

    bridges: frozenset[BridgeRules] = frozenset()
    ports: frozenset[PublishedPort] = frozenset()


def replacement(table: str, plan: FirewallPlan) -> str:
    """Return commands that replace the whole table by the planned one, in one transaction."""
    return (
        f"add table inet {table}\ndelete table inet {table}\n"
        + definition(table)
        + bridge_additions(table, plan.bridges)
        + additions(table, plan.ports)
    )


def definition(table: str) -> str:
    """Return the table's rules, with empty sets and maps, in nft's language."""
    return f"""table inet {table} {{
    set bridges {{ type ifname; }}
    set within {{ type ifname . ifname; }}
    set internal {{ type ifname; }}
    set sources4 {{ type ifname . ipv4_addr; flags interval; }}
    set sources6 {{ type ifname . ipv6_addr; flags interval; }}
    set home4 {{ type ipv4_addr . ifname; flags interval; }}
    set home6 {{ type ipv6_addr . ifname; flags interval; }}
    set masquerade4 {{ type ipv4_addr; flags interval; }}
    set masquerade6 {{ type ipv6_addr; flags interval; }}
    map ports4 {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
    map ports4_at {{ type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; }}
    map ports6 {{ type inet_proto . inet_service : ipv6_addr . inet_service; }}
    map ports6_at {{ type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service; }}
    chain raw {{
        type filter hook prerouting priority -300; policy accept;
        iifname != "lo" ip daddr 127.0.0.0/8 drop
        iifname @bridges meta nfproto ipv4 iifname . ip saddr != @sources4 drop
        iifname @bridges ip6 saddr {{ ::, fe80::/10 }} accept
        iifname @bridges meta nfproto ipv6 iifname . ip6 saddr != @sources6 drop
    }}
    chain published {{
        dnat ip to meta l4proto . ip daddr . th dport map @ports4_at
        dnat ip to meta l4proto . th dport map @ports4
        dnat ip6 to meta l4proto . ip6 daddr . th dport map @ports6_at
        dnat ip6 to meta l4proto . th dport map @ports6
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
        ip saddr . oifname @home4 ct status dnat masquerade
        ip saddr . oifname @home4 accept
        ip saddr @masquerade4 masquerade
        ip6 saddr . oifname @home6 ct status dnat masquerade
        ip6 saddr . oifname @home6 accept
        ip6 saddr @masquerade6 masquerade
    }}
    chain forward {{
        type filter hook forward priority 0; policy accept;
        ct state established,related accept
        iifname . oifname @within accept
        iifname @internal drop
        oifname @internal drop
        ct status dnat accept
        oifname @bridges drop
    }}
}}
"""


def bridge_additions(table: str, bridges: Iterable[BridgeRules]) -> str:
    """Return commands that add bridges to the table."""
    return _elements("add", table, bridges)


def bridge_deletions(table: str, bridges: Iterable[BridgeRules]) -> str:
    """Return commands that remove bridges from the table."""
    return _elements("delete", table, bridges)


def _elements(verb: str, table: str, bridges: Iterable[BridgeRules]) -> str:
    return "".join(
        f"{verb} element inet {table} {name} {{ {element} }}\n"
        for bridge in bridges
        for name, element in _of_bridge(bridge)
    )


def _of_bridge(bridge: BridgeRules) -> Iterable[tuple[str, str]]:
    """Yield the sets that a bridge is in, and its element in each."""
    name = f'"{bridge.name}"'
    yield "bridges", name
    if bridge.icc:
        yield "within", f"{name} . {name}"
    if bridge.internal:
        yield "internal", name
    for subnet in bridge.subnets:
        yield f"sources{subnet.version}", f"{name} . {subnet}"
        yield f"home{subnet.version}", f"{subnet} . {name}"
        if bridge.masquerade and not bridge.internal:
            yield f"masquerade{subnet.version}", f"{subnet}"


def additions(table: str, ports: Iterable[PublishedPort]) -> str:
    """Return commands that publish ports."""
    return "".join(f"add element inet {table} {port.map} {{ {port.element} }}\n" for port in ports)


def deletions(table: str, ports: Iterable[PublishedPort]) -> str:
    """Return commands that withdraw ports."""
    return "".join(f"delete element inet {table} {port.map} {{ {port.key} }}\n" for port in ports)


def ports_of(listing: Iterable[dict[str, Any]]) -> frozenset[PublishedPort]:
    """Return the published ports in nft's listing: libnftables-json(5), MAP."""
    return frozenset(
        _port(each["map"]["name"], key["concat"], target["concat"])
        for each in listing
        if each.get("map", {}).get("name") in MAPS
        for key, target in each["map"].get("elem", ())
    )


def skeleton_of(listing: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return nft's listing without the published ports, and without what differs between equal
    tables.
    """
    return [{kind: _constant(about)} for each in listing for kind, about in each.items()]


def _constant(about: dict[str, Any]) -> dict[str, Any]:
    """Return an object without its handle, which is a counter, and with a set's elements sorted,
    because their order depends on a random seed.
    """
    constant = {key: value for key, value in about.items() if key not in ("handle", "elem")}
    if "elem" in about and about["name"] not in MAPS:
        constant["elem"] = sorted(about["elem"], key=str)
    return constant


def _port(name: str, key: list[Any], target: list[Any]) -> PublishedPort:
    protocol, *address, host_port = key
    anywhere = ANY_ADDRESS if name.startswith("ports4") else ANY_ADDRESS_6
    return PublishedPort(
        protocol=Protocol(int(protocol)),
        host_address=ip_address(address[0]) if address else anywhere,
        host_port=int(host_port),
        address=ip_address(target[0]),
        port=int(target[1]),
    )
