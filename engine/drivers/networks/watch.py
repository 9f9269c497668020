"""Hints from the kernel that something on the network has changed: links, addresses, routes, firewall tables.

A hint says *look there again*, never what happened: notifications are lost when there are many, and the comparison of what
is wanted with what there is finds everything anyway (netlink(7), ENOBUFS).

What the engine does itself is notified, too, and the kernel does not say of a link by whom it was changed. So only links
whose *last* notification shows them gone, down or unplugged are named: one that has just been prepared is none of these.
"""

import select
import socket
from collections.abc import Container, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from engine.drivers.networks import netlink, rtnetlink
from engine.drivers.networks.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, SOL_NETLINK, Message

NETLINK_ADD_MEMBERSHIP: Final = 1
NFNLGRP_NFTABLES: Final = 7
SO_RCVBUFFORCE: Final = 33
_LOSSES: Final = (rtnetlink.RTM_DELADDR, rtnetlink.RTM_DELROUTE)
_GROUPS: Final = rtnetlink.RTMGRP_LINK | rtnetlink.RTMGRP_IPV4_IFADDR | rtnetlink.RTMGRP_IPV4_ROUTE
_RECEIVE_BYTES: Final = 1 << 16
_BUFFER_BYTES: Final = 4 << 20
"""Room for the notifications of about a hundred sandboxes made in one go."""


@dataclass(frozen=True, slots=True)
class Hints:
    """Where to look again."""

    links: frozenset[str] = frozenset()
    """Names of links that went away, went down, or are plugged into nothing."""
    addresses: bool = False
    """An address or a route of the host went away."""
    firewall: bool = False
    """Some nftables ruleset changed, perhaps by ourselves: ``Firewall.is_right`` knows cheaply."""
    lost: bool = False
    """Notifications were lost: look everywhere."""

    def __bool__(self) -> bool:
        return self != Hints()


class Watch:
    """Readable when something has changed in the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._route = _listener(NETLINK_ROUTE, _GROUPS)
        self._netfilter = _listener(NETLINK_NETFILTER, 0)
        self._netfilter.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        self._poll = select.epoll()
        self._poll.register(self._route, select.EPOLLIN)
        self._poll.register(self._netfilter, select.EPOLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """One descriptor for both sockets: an epoll(7) instance can be waited for like a socket."""
        return self._poll.fileno()

    def drain(self, own_ports: Container[int] = ()) -> Hints:
        """All that has come since last time. Addresses that ``own_ports`` (netlink ports of ours) removed don't count."""
        suspects: dict[str, bool] = {}
        addresses = lost = False
        for message in _messages(self._route):
            if message is None:
                lost = True
            elif message.kind in (rtnetlink.RTM_NEWLINK, rtnetlink.RTM_DELLINK):
                link = rtnetlink.parse_link(message.body)
                suspects[link.name] = _is_suspect(message, link)
            elif message.kind in _LOSSES:
                addresses = addresses or message.port not in own_ports
        firewall = bool(list(_messages(self._netfilter)))
        links = frozenset(name for name, suspect in suspects.items() if suspect)
        return Hints(links, addresses, firewall, lost)

    def close(self) -> None:
        """Release the descriptors."""
        self._poll.close()
        self._route.close()
        self._netfilter.close()


def _is_suspect(message: Message, link: rtnetlink.Link) -> bool:
    gone = message.kind == rtnetlink.RTM_DELLINK
    return gone or not link.up or (link.kind == "veth" and not link.master)


def _listener(protocol: int, groups: int) -> socket.socket:
    listener = socket.socket(
        socket.AF_NETLINK,
        socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
        protocol,
    )
    listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER_BYTES)
    listener.bind((0, groups))
    return listener


def _messages(listener: socket.socket) -> Iterator[Message | None]:
    """What has come; ``None`` where some was lost."""
    while True:
        try:
            datagram = listener.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS
            yield None
        else:
            yield from netlink.split(datagram)
