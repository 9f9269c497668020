"""Connections that the kernel remembers, so that it forgets those whose port leads elsewhere now. linux/netfilter/nfnetlink_conntrack.h.

A datagram that belongs to a remembered "connection" is translated as its first one was, whatever the firewall's maps say today. TCP
begins anew by itself; a UDP client that goes on sending would be led to a container that is gone for as long as it does.
"""

import errno
import struct
from collections.abc import Iterable
from typing import Final

from engine.drivers.networks import netlink
from engine.drivers.networks.netlink import NetlinkSocket, Request
from engine.drivers.networks.ruleset import Protocol, PublishedPort

_CTNETLINK: Final = 1 << 8
_IPCTNL_MSG_CT_GET: Final = 1
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
_GONE: Final = frozenset({errno.ENOENT})


def forget(kernel: NetlinkSocket, ports: Iterable[PublishedPort]) -> None:
    """Have the kernel forget the UDP connections to some ports of the host; a socket of NETLINK_NETFILTER.

    They are listed, and deleted one by one: before Linux 6.3 the kernel deletes none by their port alone.

    Raises:
        OSError: the kernel refused; before Linux 5.8 it can't list them by their port.
    """
    keys = {
        (port.host_address.version, port.host_port)
        for port in ports
        if port.protocol is Protocol.UDP
    }
    for version, port in sorted(keys):
        header = _NFGENMSG.pack(_FAMILIES[version], _VERSION, 0)
        what = f"the datagrams to port {port}"
        request = Request(_CTNETLINK | _IPCTNL_MSG_CT_GET, 0, header + _filter(port), what)
        found = [
            netlink.attributes(body, _NFGENMSG.size)[_CTA_TUPLE_ORIG]
            for body in kernel.dump(request)
        ]
        kernel.transact(
            [
                Request(
                    _CTNETLINK | _IPCTNL_MSG_CT_DELETE,
                    0,
                    header + netlink.attribute(_CTA_TUPLE_ORIG | netlink.NLA_F_NESTED, each),
                    f"forget {what}",
                    _GONE,
                )
                for each in found
            ]
        )


def _filter(port: int) -> bytes:
    """Of UDP, and first sent to this port."""
    sent_to = netlink.nested(
        _CTA_TUPLE_ORIG | netlink.NLA_F_NESTED,
        netlink.nested(
            _CTA_TUPLE_PROTO | netlink.NLA_F_NESTED,
            netlink.u8(_CTA_PROTO_NUM, Protocol.UDP),
            netlink.attribute(_CTA_PROTO_DST_PORT, port.to_bytes(2, "big")),
        ),
    )
    return sent_to + netlink.nested(
        _CTA_FILTER | netlink.NLA_F_NESTED,
        netlink.u32(_CTA_FILTER_ORIG_FLAGS, _FILTER_PROTO_NUM | _FILTER_PROTO_DST_PORT),
        netlink.u32(_CTA_FILTER_REPLY_FLAGS, 0),
    )
