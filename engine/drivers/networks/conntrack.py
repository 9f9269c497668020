"""Connections that the kernel remembers, so that it forgets those whose port leads elsewhere now. linux/netfilter/nfnetlink_conntrack.h.

A datagram that belongs to a remembered "connection" is translated as its first one was, whatever the firewall's maps say today. TCP
begins anew by itself; a UDP client that goes on sending would be led to a container that is gone for as long as it does.
"""

import struct
from collections.abc import Iterable
from typing import Final

from engine.drivers.networks import netlink
from engine.drivers.networks.netlink import NetlinkSocket, Request
from engine.drivers.networks.ruleset import Protocol, PublishedPort

_NFNL_SUBSYS_CTNETLINK: Final = 1
_IPCTNL_MSG_CT_DELETE: Final = 2
_CTA_TUPLE_ORIG: Final = 1
_CTA_FILTER: Final = 25
_CTA_TUPLE_PROTO: Final = 2
_CTA_PROTO_NUM: Final = 1
_CTA_PROTO_DST_PORT: Final = 3
_CTA_FILTER_ORIG_FLAGS: Final = 1
_CTA_FILTER_REPLY_FLAGS: Final = 2
_FILTER_PROTO_NUM: Final = 1 << 3
_FILTER_PROTO_DST_PORT: Final = 1 << 5
_VERSION: Final = 1
"""With 0 the kernel takes no notice of the family."""
_NFGENMSG: Final = struct.Struct("=BBH")  # family, version, resource
_FAMILIES: Final = {4: 2, 6: 10}


def forget(kernel: NetlinkSocket, ports: Iterable[PublishedPort]) -> None:
    """Have the kernel forget the UDP connections to some ports of the host; a socket of NETLINK_NETFILTER.

    Raises:
        OSError: the kernel refused; before Linux 5.8 it can't tell them from others.
    """
    keys = {
        (port.host_address.version, port.host_port)
        for port in ports
        if port.protocol is Protocol.UDP
    }
    if keys:
        kernel.transact([_deletion(version, port) for version, port in sorted(keys)])


def _deletion(version: int, port: int) -> Request:
    asked = netlink.nested(
        _CTA_TUPLE_ORIG | netlink.NLA_F_NESTED,
        netlink.nested(
            _CTA_TUPLE_PROTO | netlink.NLA_F_NESTED,
            netlink.u8(_CTA_PROTO_NUM, Protocol.UDP),
            netlink.attribute(_CTA_PROTO_DST_PORT, port.to_bytes(2, "big")),
        ),
    )
    chosen = netlink.nested(
        _CTA_FILTER | netlink.NLA_F_NESTED,
        netlink.u32(_CTA_FILTER_ORIG_FLAGS, _FILTER_PROTO_NUM | _FILTER_PROTO_DST_PORT),
        netlink.u32(_CTA_FILTER_REPLY_FLAGS, 0),
    )
    return Request(
        _NFNL_SUBSYS_CTNETLINK << 8 | _IPCTNL_MSG_CT_DELETE,
        0,
        _NFGENMSG.pack(_FAMILIES[version], _VERSION, 0) + asked + chosen,
        f"forget the datagrams to port {port}",
    )
