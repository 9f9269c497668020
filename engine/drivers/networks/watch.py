"""Watch the host's links, addresses, routes and firewall tables for changes, by the kernel's
notices.

A notice means *look again*, never what happened: notices are lost when there are many (netlink(7),
ENOBUFS), and the sweep's comparison finds everything anyway. So only the fixed part of each is
read.

The engine's own changes are notified, too, and the kernel does not say who changed a link or
removed an address's routes. So a link calls for a sweep only when its *last* notice shows it gone,
down or taken out of its bridge: a link that has just been prepared is none of these.
"""

import select
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from engine.drivers.networks import netlink
from engine.drivers.networks.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, SOL_NETLINK, Message
from engine.drivers.networks.rtnetlink import (
    IFF_UP,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_NEWLINK,
    RTMGRP_IPV4_IFADDR,
    RTMGRP_IPV4_ROUTE,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_LINK,
)

NETLINK_ADD_MEMBERSHIP: Final = 1
NFNLGRP_NFTABLES: Final = 7
SO_RCVBUFFORCE: Final = 33
_LOSSES: Final = (RTM_DELADDR, RTM_DELROUTE)
_GROUPS: Final = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR
_IFINFO: Final = struct.Struct("=BxHiI")  # family, type, index, flags
_RECEIVE_BYTES: Final = 1 << 16
_BUFFER_BYTES: Final = 4 << 20
"""Room for the notices of about a hundred sandboxes made at once."""


class Watch:
    """Readable when something has changed in the network namespace of the thread that makes it."""

    def __init__(self) -> None:
        with ExitStack() as undo:
            self._route = undo.enter_context(_listener(NETLINK_ROUTE, _GROUPS))
            self._netfilter = undo.enter_context(_listener(NETLINK_NETFILTER, 0))
            self._netfilter.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
            self._poll = undo.enter_context(select.epoll())
            self._poll.register(self._route, select.EPOLLIN)
            self._poll.register(self._netfilter, select.EPOLLIN)
            undo.pop_all()

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
        """Return one descriptor for both sockets: an epoll(7) instance can be waited for like a
        socket.
        """
        return self._poll.fileno()

    def drain(self) -> bool:
        """Read all pending notices; return whether any of them calls for a sweep."""
        firewall_notices = sum(1 for _ in _messages(self._netfilter))
        return requires_sweep(_messages(self._route)) or firewall_notices > 0

    def close(self) -> None:
        """Release the descriptors."""
        self._poll.close()
        self._route.close()
        self._netfilter.close()


def requires_sweep(notices: Iterable[Message | None]) -> bool:
    """Return whether any of these notices requires a sweep. All are read; ``None`` stands for lost
    ones.

    A link has two series of notices: the link's own, and those of its bridge, in which RTM_DELLINK
    means that it was taken out.
    """
    lost = False
    is_broken: dict[tuple[int, int], bool] = {}
    for notice in notices:
        if notice is None or notice.kind in _LOSSES:
            lost = True
        elif notice.kind in (RTM_NEWLINK, RTM_DELLINK):
            family, _, index, flags = _IFINFO.unpack_from(notice.body)
            is_broken[family, index] = notice.kind == RTM_DELLINK or not flags & IFF_UP
    return lost or any(is_broken.values())


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
    """Yield the pending messages; ``None`` where some were lost."""
    while True:
        try:
            datagram = listener.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS
            yield None
        else:
            yield from netlink.split(datagram)
