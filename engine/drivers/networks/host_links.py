"""Cache the host's links and addresses until the kernel reports a change."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from engine.drivers.networks import hints, rtnetlink
from engine.drivers.networks.netlink import NETLINK_ROUTE, NetlinkSocket
from engine.drivers.networks.rtnetlink import Interface, Link

LIST_AGAIN_S: Final = 60.0
"""After this time everything is listed again, even without a notice."""


class HostLinks:
    """A listing that is never older than the last change. Belongs to one thread.

    Attributes:
        by_name: all links.
        addresses: each with the index of its link.
        listings: how often a listing differed from the one before: equal numbers mean equal links.
    """

    def __init__(
        self,
        kernel: NetlinkSocket,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kernel = kernel
        self._clock = clock
        self._notices = hints.listen(NETLINK_ROUTE, hints.LINKS)
        self._listed_s: float | None = None
        self.by_name: Mapping[str, Link] = {}
        self.addresses: frozenset[tuple[int, Interface]] = frozenset()
        self.listings = 0

    def has_changes(self) -> bool:
        """Return True if the listing may be older than the last change."""
        if hints.drain(self._notices):
            self._listed_s = None
        return self._listed_s is None

    def refresh(self) -> None:
        """List everything again if it may have changed.

        Raises:
            DriverError: the kernel refused.
        """
        now = self._clock()
        if not self.has_changes() and now - (self._listed_s or 0.0) < LIST_AGAIN_S:
            return
        self._listed_s = None
        by_name = {link.name: link for link in rtnetlink.links(self._kernel)}
        addresses = frozenset(rtnetlink.addresses(self._kernel))
        if (by_name, addresses) != (self.by_name, self.addresses):
            self.by_name, self.addresses = by_name, addresses
            self.listings += 1
        self._listed_s = now

    def close(self) -> None:
        """Stop listening."""
        self._notices.close()
