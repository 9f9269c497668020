"""Delete connections that the kernel tracks when their port leads elsewhere.
linux/netfilter/nfnetlink_conntrack.h.

A datagram that belongs to a tracked "connection" is translated as its first one was, whatever the
firewall's maps say now. TCP connects anew; but a UDP client that keeps sending would reach the
address of a removed container for as long as it sends.
"""

import errno
import socket
from collections.abc import Iterable
from typing import Final

from engine.drivers.networks.messages import (
    Attribute,
    Decoded,
    connection_layout,
    decode,
    encode,
    nested,
)
from engine.drivers.networks.netlink import NetlinkSocket, Request
from engine.drivers.networks.ruleset import Protocol, PublishedPort

_CTNETLINK: Final = 1 << 8
_IPCTNL_MSG_CT_GET: Final = 1
_IPCTNL_MSG_CT_DELETE: Final = 2
_FILTER_PROTO_NUM: Final = 1 << 3
_FILTER_PROTO_DST_PORT: Final = 1 << 5
_VERSION: Final = 1
"""With version 0 the kernel ignores the family."""
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_GONE: Final = frozenset({errno.ENOENT})


def forget(kernel: NetlinkSocket, ports: Iterable[PublishedPort]) -> None:
    """Delete the tracked UDP connections to some ports of the host; ``kernel`` is a socket of
    NETLINK_NETFILTER.

    They are listed, and deleted one by one: before Linux 6.3 the kernel deletes none by their port
    alone.

    Raises:
        OSError: the kernel refused; before Linux 5.8 it can't list them by their port.
    """
    keys = {
        (port.host_address.version, port.host_port)
        for port in ports
        if port.protocol is Protocol.UDP
    }
    for version, port in sorted(keys):
        kernel.transact([delete(version, port, each) for each in kernel.dump(_list(version, port))])


def _list(version: int, port: int) -> Request:
    """Build the request for the UDP connections that were first sent to this port."""
    sent_to = nested(
        ("CTA_PROTO_NUM", int(Protocol.UDP)),
        ("CTA_PROTO_DST_PORT", port),
    )
    compared = nested(
        ("CTA_FILTER_ORIG_FLAGS", _FILTER_PROTO_NUM | _FILTER_PROTO_DST_PORT),
        ("CTA_FILTER_REPLY_FLAGS", 0),
    )
    body = _body(
        version, ("CTA_TUPLE_ORIG", nested(("CTA_TUPLE_PROTO", sent_to))), ("CTA_FILTER", compared)
    )
    return Request(_CTNETLINK | _IPCTNL_MSG_CT_GET, 0, body, f"list the datagrams to port {port}")


def delete(version: int, port: int, connection: bytes) -> Request:
    """Build the request that deletes a listed connection; it succeeds if the connection is gone."""
    found = decode(connection_layout(), connection).nested("CTA_TUPLE_ORIG")
    body = _body(version, ("CTA_TUPLE_ORIG", _tuple(version, found)))
    what = f"forget the datagrams to port {port}"
    return Request(_CTNETLINK | _IPCTNL_MSG_CT_DELETE, 0, body, what, _GONE)


def _tuple(version: int, found: Decoded) -> dict[str, object]:
    """Return what identifies a connection: both ends as its first datagram named them."""
    addresses, ports = found.nested("CTA_TUPLE_IP"), found.nested("CTA_TUPLE_PROTO")
    source, destination = f"CTA_IP_V{version}_SRC", f"CTA_IP_V{version}_DST"
    return nested(
        ("CTA_TUPLE_IP", nested(*((name, addresses.text(name)) for name in (source, destination)))),
        (
            "CTA_TUPLE_PROTO",
            nested(
                ("CTA_PROTO_NUM", int(Protocol.UDP)),
                ("CTA_PROTO_SRC_PORT", ports.number("CTA_PROTO_SRC_PORT")),
                ("CTA_PROTO_DST_PORT", ports.number("CTA_PROTO_DST_PORT")),
            ),
        ),
    )


def _body(version: int, *attributes: Attribute) -> bytes:
    fields = {"nfgen_family": _FAMILIES[version], "version": _VERSION}
    return encode(connection_layout(), fields, attributes)
