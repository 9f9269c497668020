"""Listen for the kernel's notices of changes in a network namespace: multicast groups of
netlink(7).

A notice means *look again*, never what happened, and notices are lost when there are many
(ENOBUFS). So notices are counted and not read, and a loss counts as a notice. The kernel queues a
notice before the system call that made the change returns: state that is read after an empty drain
is up to date.

A socket keeps its namespace alive. Close it before the namespace is removed.
"""

import select
import socket
from collections.abc import Callable
from typing import Final

from engine.domain.ids import SandboxId
from engine.drivers.networks.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, SOL_NETLINK
from engine.drivers.networks.rtnetlink import (
    RTMGRP_IPV4_IFADDR,
    RTMGRP_IPV4_ROUTE,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_LINK,
)

NETLINK_ADD_MEMBERSHIP: Final = 1
NFNLGRP_NFTABLES: Final = 7
LINKS: Final = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
ROUTES: Final = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE


def listen(protocol: int, groups: int = 0) -> socket.socket:
    """Open a socket for the notices of the calling thread's network namespace."""
    listener = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol
    )
    listener.bind((0, groups))
    return listener


def listen_for_tables() -> socket.socket:
    """Open a socket for changes of nftables in the calling thread's network namespace."""
    listener = listen(NETLINK_NETFILTER)
    listener.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
    return listener


def drain(listener: socket.socket) -> bool:
    """Drop all notices that have come; return True if there were any, or some were lost."""
    any_came = False
    while True:
        try:
            listener.recv(1)
        except BlockingIOError:
            return any_came
        except OSError:  # ENOBUFS
            pass
        any_came = True


class SandboxHints:
    """Reports which sandboxes have changed since the last call."""

    def __init__(self) -> None:
        self._poll: select.epoll | None = None
        self._sockets: dict[SandboxId, tuple[socket.socket, ...]] = {}
        self._listeners: dict[int, tuple[SandboxId, socket.socket]] = {}

    def __contains__(self, sandbox: SandboxId) -> bool:
        return sandbox in self._sockets

    def watch(self, sandbox: SandboxId, *, tables: bool) -> None:
        """Listen in the calling thread's namespace, which must be the sandbox's; also for nftables
        if ``tables``.

        Raises:
            OSError: EMFILE; the sandbox is not watched.
        """
        opened: list[socket.socket] = []
        openers: list[Callable[[], socket.socket]] = [lambda: listen(NETLINK_ROUTE, LINKS | ROUTES)]
        if tables:
            openers.append(listen_for_tables)
        try:
            opened.extend(opener() for opener in openers)
        except OSError:
            for each in opened:
                each.close()
            raise
        self._sockets[sandbox] = tuple(opened)
        self._poll = self._poll or select.epoll()
        for each in opened:
            self._listeners[each.fileno()] = (sandbox, each)
            self._poll.register(each, select.EPOLLIN)

    def changed(self) -> set[SandboxId]:
        """Drop all notices that have come, and return the sandboxes that they came from."""
        if self._poll is None or not self._listeners:
            return set()
        ready = [self._listeners[fd] for fd, _ in self._poll.poll(0, len(self._listeners))]
        return {sandbox for sandbox, listener in ready if drain(listener)}

    def forget(self, sandbox: SandboxId) -> None:
        """Stop listening, so that the namespace can be removed; do nothing if the sandbox is not
        watched.
        """
        for each in self._sockets.pop(sandbox, ()):
            del self._listeners[each.fileno()]
            each.close()  # this also removes it from the epoll instance

    def close(self) -> None:
        """Stop listening everywhere."""
        for sandbox in tuple(self._sockets):
            self.forget(sandbox)
        if self._poll is not None:
            self._poll.close()
            self._poll = None
