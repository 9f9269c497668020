"""Hints from the kernel that something on the network has changed: links, addresses, routes, firewall tables.

A hint says *look again*, never what happened: notifications are lost when there are many, and the comparison of what is
wanted with what there is finds everything anyway. netlink(7): ENOBUFS.
"""

import select
import socket
from collections.abc import Container
from typing import Final

from engine.drivers import netlink
from engine.drivers.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, SOL_NETLINK
from engine.drivers.rtnetlink import RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_LINK

NETLINK_ADD_MEMBERSHIP: Final = 1
NFNLGRP_NFTABLES: Final = 7
_LINKS_ADDRESSES_ROUTES: Final = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE
_RECEIVE_BYTES: Final = 1 << 16


class Watch:
    """Readable when something has changed in the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._route = _listener(NETLINK_ROUTE, _LINKS_ADDRESSES_ROUTES)
        self._netfilter = _listener(NETLINK_NETFILTER, 0)
        self._netfilter.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        self._poll = select.epoll()
        self._poll.register(self._route, select.EPOLLIN)
        self._poll.register(self._netfilter, select.EPOLLIN)

    def fileno(self) -> int:
        """One descriptor for both sockets: an epoll(7) instance can be waited for like a socket."""
        return self._poll.fileno()

    def drain(self, own_ports: Container[int] = ()) -> bool:
        """Forget all hints; whether one of them came from somebody else than the netlink ports ``own_ports``."""
        links = _drain(self._route, own_ports)
        rules = _drain(self._netfilter, own_ports)
        return links or rules

    def close(self) -> None:
        """Release the descriptors."""
        self._poll.close()
        self._route.close()
        self._netfilter.close()


def _listener(protocol: int, groups: int) -> socket.socket:
    listener = socket.socket(
        socket.AF_NETLINK,
        socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
        protocol,
    )
    listener.bind((0, groups))
    return listener


def _drain(listener: socket.socket, own_ports: Container[int]) -> bool:
    foreign = False
    while True:
        try:
            datagram = listener.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return foreign
        except OSError:  # ENOBUFS: hints were lost, which is a hint
            foreign = True
            continue
        foreign = foreign or any(
            message.port not in own_ports for message in netlink.split(datagram)
        )
