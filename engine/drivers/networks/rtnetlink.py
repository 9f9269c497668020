"""Links, addresses and routes as netlink messages. rtnetlink(7), linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h.

Builders return a :class:`~engine.drivers.networks.netlink.Request` and readers a value: nothing here talks to the kernel but the
dumps and :func:`find_link`.
"""

import errno
import socket
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
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

IFLA_ADDRESS: Final = 1
IFLA_IFNAME: Final = 3
IFLA_MTU: Final = 4
IFLA_LINK: Final = 5
IFLA_MASTER: Final = 10
IFLA_PROTINFO: Final = 12
IFLA_LINKINFO: Final = 18
IFLA_IFALIAS: Final = 20
IFLA_AF_SPEC: Final = 26
IFLA_GROUP: Final = 27
IFLA_NET_NS_FD: Final = 28
IFLA_EXT_MASK: Final = 29
RTEXT_FILTER_SKIP_STATS: Final = 8
IFLA_INFO_KIND: Final = 1
IFLA_INFO_DATA: Final = 2
IFLA_INFO_SLAVE_KIND: Final = 4
IFLA_INFO_SLAVE_DATA: Final = 5
IFLA_BRPORT_STATE: Final = 1
IFLA_BRPORT_MODE: Final = 4  # "hairpin mode"
IFLA_BRPORT_FLUSH: Final = 24
IFLA_BRPORT_ISOLATED: Final = 33
IFLA_INET6_ADDR_GEN_MODE: Final = 8
IN6_ADDR_GEN_MODE_NONE: Final = 1
BR_STATE_DISABLED: Final = 0
IFF_UP: Final = 0x1
IFA_ADDRESS: Final = 1
IFA_LOCAL: Final = 2
IFA_BROADCAST: Final = 4
IFA_FLAGS: Final = 8
IFA_F_NODAD: Final = 0x02
RTA_DST: Final = 1
RTA_OIF: Final = 4
RTA_GATEWAY: Final = 5
RT_TABLE_MAIN: Final = 254
RTPROT_BOOT: Final = 3
RTN_UNICAST: Final = 1
RTN_BLACKHOLE: Final = 6
RTN_UNREACHABLE: Final = 7
RTN_PROHIBIT: Final = 8
RT_SCOPE_UNIVERSE: Final = 0
RT_SCOPE_LINK: Final = 253
LOOPBACK_INDEX: Final = 1
"""Of ``lo``, in every network namespace."""

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Subnet = IPv4Network | IPv6Network
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}

IFINFO: Final = struct.Struct("=BxHiII")  # family, type, index, flags, change
_IFADDR: Final = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, index
_ROUTE: Final = struct.Struct(
    "=BBBBBBBBI"
)  # family, dst, src, tos, table, protocol, scope, type, flags
CREATE: Final = netlink.NLM_F_CREATE | netlink.NLM_F_EXCL
_REPLACE: Final = netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE
_ELSEWHERE: Final = frozenset({RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT})
_GONE: Final = frozenset({errno.ENODEV})


@dataclass(frozen=True, slots=True)
class Port:
    """How a link behaves as a port of a bridge."""

    hairpin: bool = False
    """Whether frames may leave through the port they came in by."""
    isolated: bool = False
    """Whether the port speaks to the bridge itself only, not to other isolated ports."""


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface, as the kernel describes it."""

    index: int
    name: str
    up: bool
    mtu: int
    mac: str
    peer: int
    """Index of a pair's other end, or of the link that this one lies over, in that one's namespace; or 0."""
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


def mac_bytes(mac: str) -> bytes:
    """The six bytes of ``02:42:…``."""
    return bytes.fromhex(mac.replace(":", ""))


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
    """Change what is named and nothing else; ``master`` 0 unplugs.

    ``no_link_local``: make no IPv6 link-local address when the link comes up; EAFNOSUPPORT on a kernel without IPv6.
    """
    flag = 0 if up is None else IFF_UP
    index = link if isinstance(link, int) else 0
    parts = [IFINFO.pack(0, 0, index, IFF_UP if up else 0, flag)]
    if isinstance(link, str):
        parts.append(netlink.text(IFLA_IFNAME, link))
    if mtu is not None:
        parts.append(netlink.u32(IFLA_MTU, mtu))
    if mac is not None:
        parts.append(netlink.attribute(IFLA_ADDRESS, mac_bytes(mac)))
    if master is not None:
        parts.append(netlink.u32(IFLA_MASTER, master))
    if alias is not None:
        parts.append(netlink.attribute(IFLA_IFALIAS, alias.encode()))
    if group is not None:
        parts.append(netlink.u32(IFLA_GROUP, group))
    if no_link_local:
        mode = netlink.u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE)
        parts.append(netlink.nested(IFLA_AF_SPEC, netlink.nested(socket.AF_INET6, mode)))
    return Request(RTM_NEWLINK, 0, b"".join(parts), f"change link {link}")


def change_port(name: str, port: Port) -> Request:
    """Set how a link that is plugged into a bridge behaves there."""
    body = (
        IFINFO.pack(0, 0, 0, 0, 0)
        + netlink.text(IFLA_IFNAME, name)
        + netlink.nested(
            IFLA_LINKINFO,
            netlink.text(IFLA_INFO_SLAVE_KIND, "bridge"),
            netlink.nested(
                IFLA_INFO_SLAVE_DATA,
                netlink.u8(IFLA_BRPORT_MODE, port.hairpin),
                netlink.u8(IFLA_BRPORT_ISOLATED, port.isolated),
            ),
        )
    )
    return Request(RTM_NEWLINK, 0, body, f"change bridge port {name}")


def silence_port(index: int) -> Request:
    """Let no frame through a bridge's port any more, at once; nothing to do when the link is gone or unplugged.

    By the bridge's own message: in the general one the kernel (6.18) accepts the state and then chooses its own.
    """
    port = netlink.nested(
        IFLA_PROTINFO | netlink.NLA_F_NESTED,
        netlink.u8(IFLA_BRPORT_STATE, BR_STATE_DISABLED),
        netlink.attribute(IFLA_BRPORT_FLUSH, b""),
    )
    body = IFINFO.pack(socket.AF_BRIDGE, 0, index, 0, 0) + port
    expected = _GONE | {errno.EINVAL, errno.EOPNOTSUPP}
    return Request(RTM_SETLINK, 0, body, f"silence bridge port {index}", expected)


def delete_link(name: str) -> Request:
    """Remove a link, and with one end of a pair the other; nothing to do when it is gone."""
    body = IFINFO.pack(0, 0, 0, 0, 0) + netlink.text(IFLA_IFNAME, name)
    return Request(RTM_DELLINK, 0, body, f"delete link {name}", _GONE)


def delete_group(group: int) -> Request:
    """Remove all links of a group in one go: the kernel waits for its readers once, not once for each (20 ms)."""
    body = IFINFO.pack(0, 0, 0, 0, 0) + netlink.u32(IFLA_GROUP, group)
    return Request(RTM_DELLINK, 0, body, f"delete links of group {group:#x}", _GONE)


def add_address(index: int, address: Interface) -> Request:
    """Give a link an address and the route to its subnet; nothing to do when it has it.

    Of an IPv6 one it is not asked whether somebody else has it (RFC 4862, section 5.4): for a second it could not be used.
    """
    expected = frozenset({errno.EEXIST})
    return _address_request(RTM_NEWADDR, CREATE, index, address, "add", expected)


def delete_address(index: int, address: Interface) -> Request:
    """Take an address away from a link; nothing to do when it has it no more."""
    expected = frozenset({errno.EADDRNOTAVAIL, errno.ENODEV})
    return _address_request(RTM_DELADDR, 0, index, address, "delete", expected)


def _address_request(
    kind: int, flags: int, index: int, address: Interface, verb: str, expected: frozenset[int]
) -> Request:
    body = (
        _IFADDR.pack(_FAMILIES[address.version], address.network.prefixlen, 0, 0, index)
        + netlink.attribute(IFA_LOCAL, address.ip.packed)
        + netlink.attribute(IFA_ADDRESS, address.ip.packed)
        + (
            netlink.attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
            if address.version == 4
            else netlink.u32(IFA_FLAGS, IFA_F_NODAD)
        )
    )
    return Request(kind, flags, body, f"{verb} address {address}", expected)


def replace_default_route(index: int, gateway: Address) -> Request:
    """Make ``gateway`` the way to everywhere, whatever was it before; with the unspecified address, the link itself."""
    scope = RT_SCOPE_LINK if gateway.is_unspecified else RT_SCOPE_UNIVERSE
    family = _FAMILIES[gateway.version]
    body = (
        _ROUTE.pack(family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0)
        + (b"" if gateway.is_unspecified else netlink.attribute(RTA_GATEWAY, gateway.packed))
        + netlink.u32(RTA_OIF, index)
    )
    return Request(RTM_NEWROUTE, _REPLACE, body, f"set default route to {gateway}")


def find_link(kernel: NetlinkSocket, name: str) -> Link | None:
    """The link of that name, if there is one."""
    body = (
        IFINFO.pack(0, 0, 0, 0, 0)
        + netlink.text(IFLA_IFNAME, name)
        + netlink.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    )
    answer = kernel.ask(Request(RTM_GETLINK, 0, body, f"look at link {name}", _GONE))
    return None if answer is None else parse_link(answer)


def links(kernel: NetlinkSocket) -> list[Link]:
    """All links of the socket's namespace."""
    return list(map(parse_link, dump_links(kernel)))


def addresses(kernel: NetlinkSocket) -> list[tuple[int, Interface]]:
    """All addresses, each with the index of its link."""
    return parse_addresses(dump_addresses(kernel))


def routes(kernel: NetlinkSocket) -> list[Route]:
    """All routes to other hosts; not those to the host's own and to broadcast addresses."""
    return parse_routes(dump_routes(kernel))


def dump_links(kernel: NetlinkSocket) -> list[bytes]:
    """All links as the kernel tells of them."""
    body = IFINFO.pack(0, 0, 0, 0, 0) + netlink.u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    return kernel.dump(Request(RTM_GETLINK, 0, body, "list links"))


def dump_addresses(kernel: NetlinkSocket) -> list[bytes]:
    """All addresses as the kernel tells of them."""
    body = _IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return kernel.dump(Request(RTM_GETADDR, 0, body, "list addresses"))


def dump_routes(kernel: NetlinkSocket) -> list[bytes]:
    """All routes of all tables as the kernel tells of them."""
    body = _ROUTE.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)
    return kernel.dump(Request(RTM_GETROUTE, 0, body, "list routes"))


def parse_addresses(answers: Iterable[bytes]) -> list[tuple[int, Interface]]:
    """What :func:`dump_addresses` has found."""
    return [_address(answer) for answer in answers if answer[0] in _FAMILIES.values()]


def parse_routes(answers: Iterable[bytes]) -> list[Route]:
    """What of :func:`dump_routes` leads to other hosts, or keeps packets from them."""
    return [
        _route(answer)
        for answer in answers
        if answer[7] in _ELSEWHERE and answer[0] in _FAMILIES.values()
    ]


def _number(found: dict[int, bytes], kind: int) -> int:
    value = found.get(kind)
    return int.from_bytes(value, sys.byteorder) if value else 0


def _string(found: dict[int, bytes], kind: int) -> str:
    return found.get(kind, b"").rstrip(b"\0").decode(errors="replace")


def parse_link(body: bytes) -> Link:
    """The link that a message of type RTM_NEWLINK or RTM_DELLINK is about."""
    _, _, index, flags, _ = IFINFO.unpack_from(body)
    found = netlink.attributes(body, IFINFO.size)
    about = netlink.attributes(found.get(IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=_string(found, IFLA_IFNAME),
        up=bool(flags & IFF_UP),
        mtu=_number(found, IFLA_MTU),
        mac=found.get(IFLA_ADDRESS, b"").hex(":"),
        peer=_number(found, IFLA_LINK),
        master=_number(found, IFLA_MASTER),
        kind=_string(about, IFLA_INFO_KIND),
        alias=_string(found, IFLA_IFALIAS),
        port=_port(about) if _string(about, IFLA_INFO_SLAVE_KIND) == "bridge" else None,
    )


def _port(about: dict[int, bytes]) -> Port:
    found = netlink.attributes(about.get(IFLA_INFO_SLAVE_DATA, b""))
    return Port(
        hairpin=found.get(IFLA_BRPORT_MODE, b"\0") != b"\0",
        isolated=found.get(IFLA_BRPORT_ISOLATED, b"\0") != b"\0",
    )


def _address(body: bytes) -> tuple[int, Interface]:
    _, length, _, _, index = _IFADDR.unpack_from(body)
    found = netlink.attributes(body, _IFADDR.size)
    own = found.get(IFA_LOCAL) or found[IFA_ADDRESS]
    return index, ip_interface((own, length))


def _route(body: bytes) -> Route:
    family, length = body[0], body[1]
    found = netlink.attributes(body, _ROUTE.size)
    anywhere = bytes(4 if family == socket.AF_INET else 16)
    gateway = found.get(RTA_GATEWAY)
    return Route(
        network=ip_network((found.get(RTA_DST, anywhere), length)),
        gateway=ip_address(gateway) if gateway else None,
        output=_number(found, RTA_OIF),
    )
