"""Build and parse requests about links, addresses and routes. rtnetlink(7).

Builders return a :class:`~engine.drivers.networks.netlink.Request` and parsers a value: only the
dumps and :func:`find_link` talk to the kernel.
"""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Final

from engine.drivers.networks import netlink
from engine.drivers.networks.messages import (
    ADDRESS,
    LINK,
    ROUTE,
    Attribute,
    Decoded,
    decode,
    encode,
    essence,
    nested,
)
from engine.drivers.networks.netlink import NetlinkSocket, Request

RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18
RTM_SETLINK: Final = 19
RTM_NEWADDR: Final = 20
RTM_DELADDR: Final = 21
RTM_GETADDR: Final = 22
RTM_NEWROUTE: Final = 24
RTM_DELROUTE: Final = 25
RTM_GETROUTE: Final = 26
RTMGRP_LINK: Final = 0x1
RTMGRP_IPV4_IFADDR: Final = 0x10
RTMGRP_IPV4_ROUTE: Final = 0x40
RTMGRP_IPV6_IFADDR: Final = 0x100
RTMGRP_IPV6_ROUTE: Final = 0x400

RTEXT_FILTER_SKIP_STATS: Final = 8
IN6_ADDR_GEN_MODE_NONE: Final = 1
BR_STATE_DISABLED: Final = 0
IFF_UP: Final = 0x1
IFA_F_NODAD: Final = 0x02
RT_TABLE_MAIN: Final = 254
RTPROT_BOOT: Final = 3
RTN_UNICAST: Final = 1
RTN_BLACKHOLE: Final = 6
RTN_UNREACHABLE: Final = 7
RTN_PROHIBIT: Final = 8
RT_SCOPE_UNIVERSE: Final = 0
RT_SCOPE_LINK: Final = 253
LOOPBACK_INDEX: Final = 1
"""Index of ``lo``, in every network namespace."""

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Subnet = IPv4Network | IPv6Network
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}

CREATE: Final = netlink.NLM_F_CREATE | netlink.NLM_F_EXCL
_REPLACE: Final = netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE
_ELSEWHERE: Final = frozenset({RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT})
_GONE: Final = frozenset({errno.ENODEV})
_FINDS_REMEMBERED: Final = 128
"""Bridges and ``eth0`` are looked up again and again: a request and an answer that are cached cost
a third.
"""


@dataclass(frozen=True, slots=True)
class Port:
    """How a link behaves as a port of a bridge."""

    hairpin: bool = False
    """Whether frames may leave through the port they came in by."""
    isolated: bool = False
    """Whether the port reaches only the bridge itself, not other isolated ports."""


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface, as the kernel describes it."""

    index: int
    name: str
    up: bool
    mtu: int
    mac: str
    peer: int
    """Index of a pair's other end, or of the link that this one is stacked on, in that link's
    namespace; or 0.
    """
    master: int
    """Index of the bridge it is plugged into, or 0."""
    kind: str
    """``bridge``, ``veth``, …; empty for hardware."""
    alias: str
    port: Port | None


@dataclass(frozen=True, slots=True)
class Route:
    """A route of any table."""

    network: Subnet
    gateway: Address | None
    output: int


def link_name(name: str) -> Attribute:
    """Return the attribute that names a link; as bytes, because pyroute2 computes their length
    correctly.
    """
    return ("IFLA_IFNAME", name.encode())


def change_link(
    link: str | int,
    *,
    up: bool | None = None,
    mtu: int | None = None,
    mac: str | None = None,
    master: int | None = None,
    alias: str | None = None,
    group: int | None = None,
    no_link_local: bool = False,
) -> Request:
    """Change the given properties and nothing else; ``master`` 0 unplugs.

    ``no_link_local``: make no IPv6 link-local address when the link comes up; EAFNOSUPPORT on a
    kernel without IPv6.
    """
    fields = {
        "index": link if isinstance(link, int) else 0,
        "flags": IFF_UP if up else 0,
        "change": 0 if up is None else IFF_UP,
    }
    attributes: list[Attribute] = [link_name(link)] if isinstance(link, str) else []
    changes = {
        "IFLA_MTU": mtu,
        "IFLA_ADDRESS": mac,
        "IFLA_MASTER": master,
        "IFLA_IFALIAS": alias,
        "IFLA_GROUP": group,
    }
    attributes += [(name, value) for name, value in changes.items() if value is not None]
    if no_link_local:
        mode = ("IFLA_INET6_ADDR_GEN_MODE", IN6_ADDR_GEN_MODE_NONE)
        attributes.append(("IFLA_AF_SPEC", nested(("AF_INET6", nested(mode)))))
    return Request(RTM_NEWLINK, 0, encode(LINK, fields, attributes), f"change link {link}")


def change_port(name: str, port: Port) -> Request:
    """Set the options of a link that is plugged into a bridge."""
    behaviour = nested(
        ("IFLA_BRPORT_MODE", int(port.hairpin)),  # "hairpin mode"
        ("IFLA_BRPORT_ISOLATED", int(port.isolated)),
    )
    about = nested(("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", behaviour))
    body = encode(LINK, {}, (link_name(name), ("IFLA_LINKINFO", about)))
    return Request(RTM_NEWLINK, 0, body, f"change bridge port {name}")


def silence_port(index: int) -> Request:
    """Stop all frames through a bridge's port at once; do nothing if the link is gone or unplugged.

    Uses the bridge's own message: in the general one the kernel (6.18) accepts the state and then
    chooses its own.
    """
    port = nested(("IFLA_BRPORT_STATE", BR_STATE_DISABLED), ("IFLA_BRPORT_FLUSH", None))
    fields = {"family": socket.AF_BRIDGE, "index": index}
    body = encode(LINK, fields, [("IFLA_PROTINFO", port, netlink.NLA_F_NESTED)])
    expected = _GONE | {errno.EINVAL, errno.EOPNOTSUPP}
    return Request(RTM_SETLINK, 0, body, f"silence bridge port {index}", expected)


def delete_link(name: str) -> Request:
    """Remove a link, and with one end of a pair the other; do nothing if it is gone."""
    body = encode(LINK, {}, [link_name(name)])
    return Request(RTM_DELLINK, 0, body, f"delete link {name}", _GONE)


def delete_group(group: int) -> Request:
    """Remove all links of a group together: the kernel waits for its readers once, not once for
    each link (20 ms).
    """
    body = encode(LINK, {}, [("IFLA_GROUP", group)])
    return Request(RTM_DELLINK, 0, body, f"delete links of group {group:#x}", _GONE)


def add_address(index: int, address: Interface) -> Request:
    """Give a link an address and the route to its subnet; do nothing if it has them.

    Duplicate address detection (RFC 4862, section 5.4) is skipped for IPv6: it would make the
    address unusable for a second.
    """
    expected = frozenset({errno.EEXIST})
    return _address_request(RTM_NEWADDR, CREATE, index, address, "add", expected)


def delete_address(index: int, address: Interface) -> Request:
    """Remove an address from a link; do nothing if the link does not have it."""
    expected = frozenset({errno.EADDRNOTAVAIL, errno.ENODEV})
    return _address_request(RTM_DELADDR, 0, index, address, "delete", expected)


def _address_request(
    kind: int, flags: int, index: int, address: Interface, verb: str, expected: frozenset[int]
) -> Request:
    fields = {
        "family": _FAMILIES[address.version],
        "prefixlen": address.network.prefixlen,
        "index": index,
    }
    own = str(address.ip)
    attributes: list[Attribute] = [("IFA_LOCAL", own), ("IFA_ADDRESS", own)]
    if address.version == 4:
        attributes.append(("IFA_BROADCAST", str(address.network.broadcast_address)))
    else:
        attributes.append(("IFA_FLAGS", IFA_F_NODAD))
    body = encode(ADDRESS, fields, attributes)
    return Request(kind, flags, body, f"{verb} address {address}", expected)


def replace_default_route(index: int, gateway: Address) -> Request:
    """Set the default route to ``gateway``, replacing any other; with the unspecified address, to
    the link itself.
    """
    fields = {
        "family": _FAMILIES[gateway.version],
        "table": RT_TABLE_MAIN,
        "proto": RTPROT_BOOT,
        "scope": RT_SCOPE_LINK if gateway.is_unspecified else RT_SCOPE_UNIVERSE,
        "type": RTN_UNICAST,
    }
    attributes: list[Attribute] = [("RTA_OIF", index)]
    if not gateway.is_unspecified:
        attributes.append(("RTA_GATEWAY", str(gateway)))
    body = encode(ROUTE, fields, attributes)
    return Request(RTM_NEWROUTE, _REPLACE, body, f"set default route to {gateway}")


def find_link(kernel: NetlinkSocket, name: str) -> Link | None:
    """Return the link of that name, if there is one."""
    answer = kernel.ask(_question_about(name))
    return None if answer is None else _parse_again(essence(LINK, answer))


@lru_cache(maxsize=_FINDS_REMEMBERED)
def _question_about(name: str) -> Request:
    body = encode(LINK, {}, (link_name(name), _NO_STATISTICS))
    return Request(RTM_GETLINK, 0, body, f"look at link {name}", _GONE)


@lru_cache(maxsize=_FINDS_REMEMBERED)
def _parse_again(body: bytes) -> Link:
    return parse_link(body)


def links(kernel: NetlinkSocket) -> list[Link]:
    """Return all links of the socket's namespace."""
    return kernel.parse_anew(dump_links(kernel), parse_link)


def addresses(kernel: NetlinkSocket, index: int = 0) -> list[tuple[int, Interface]]:
    """Return all addresses, or one link's, each with the index of its link."""
    return parse_addresses(dump_addresses(kernel, index))


def routes(kernel: NetlinkSocket) -> list[Route]:
    """Return all routes to other hosts, without those to the host's own and to broadcast
    addresses.
    """
    return parse_routes(dump_routes(kernel))


_NO_STATISTICS: Final[Attribute] = ("IFLA_EXT_MASK", RTEXT_FILTER_SKIP_STATS)
_ALL_LINKS: Final = Request(RTM_GETLINK, 0, encode(LINK, {}, [_NO_STATISTICS]), "list links")


def _addresses_of(index: int) -> Request:
    return Request(RTM_GETADDR, 0, encode(ADDRESS, {"index": index}), "list addresses")


_ALL_ADDRESSES: Final = _addresses_of(0)
_ALL_ROUTES: Final = Request(
    RTM_GETROUTE, 0, encode(ROUTE, {"family": socket.AF_UNSPEC}), "list routes"
)


def dump_links(kernel: NetlinkSocket) -> list[bytes]:
    """Return the messages of all links, without the attributes that are never read."""
    return [essence(LINK, each) for each in kernel.dump(_ALL_LINKS)]


def dump_addresses(kernel: NetlinkSocket, index: int = 0) -> list[bytes]:
    """Return the messages of all addresses, or one link's, without the attributes that are never
    read.
    """
    request = _addresses_of(index) if index else _ALL_ADDRESSES
    return [essence(ADDRESS, each) for each in kernel.dump(request)]


def dump_routes(kernel: NetlinkSocket) -> list[bytes]:
    """Return the messages of all routes of all tables, without the attributes that are never
    read.
    """
    return [essence(ROUTE, each) for each in kernel.dump(_ALL_ROUTES)]


def parse_addresses(answers: Iterable[bytes]) -> list[tuple[int, Interface]]:
    """Parse the result of :func:`dump_addresses`."""
    return [_address(answer) for answer in answers if answer[0] in _FAMILIES.values()]


def parse_routes(answers: Iterable[bytes]) -> list[Route]:
    """Parse the result of :func:`dump_routes`: only routes that lead to other hosts, or block
    packets to them.
    """
    return [
        _route(answer)
        for answer in answers
        if answer[7] in _ELSEWHERE and answer[0] in _FAMILIES.values()
    ]


def parse_link(body: bytes) -> Link:
    """Parse a message of type RTM_NEWLINK."""
    message = decode(LINK, body)
    about = message.nested("IFLA_LINKINFO")
    return Link(
        index=message.field("index"),
        name=message.text("IFLA_IFNAME"),
        up=bool(message.field("flags") & IFF_UP),
        mtu=message.number("IFLA_MTU"),
        mac=message.octets("IFLA_ADDRESS").hex(":"),  # a tunnel has an IP address here
        peer=message.number("IFLA_LINK"),
        master=message.number("IFLA_MASTER"),
        kind=about.text("IFLA_INFO_KIND"),
        alias=message.text("IFLA_IFALIAS"),
        port=_port(about) if about.text("IFLA_INFO_SLAVE_KIND") == "bridge" else None,
    )


def _port(about: Decoded) -> Port:
    found = about.nested("IFLA_INFO_SLAVE_DATA")
    return Port(
        hairpin=bool(found.number("IFLA_BRPORT_MODE")),
        isolated=bool(found.number("IFLA_BRPORT_ISOLATED")),
    )


def _address(body: bytes) -> tuple[int, Interface]:
    message = decode(ADDRESS, body)
    own = message.text("IFA_LOCAL") or message.text("IFA_ADDRESS")
    return message.field("index"), ip_interface((own, message.field("prefixlen")))


def _route(body: bytes) -> Route:
    message = decode(ROUTE, body)
    anywhere = bytes(4 if message.field("family") == socket.AF_INET else 16)
    gateway = message.text("RTA_GATEWAY")
    return Route(
        network=ip_network((message.text("RTA_DST") or anywhere, message.field("dst_len"))),
        gateway=ip_address(gateway) if gateway else None,
        output=message.number("RTA_OIF"),
    )
