"""Lanes: which threads blocking work runs on, and how much of it at once.

Nothing is abandoned when its caller is cancelled: an effect whose end nobody waited for is an effect nobody knows of.
"""

from collections.abc import Callable
from enum import Enum
from typing import TypeVar

import trio

T = TypeVar("T")


class Lane(Enum):
    """A queue for a kind of blocking work; the value is how much of it runs at once."""

    KERNEL = ("kernel", 8)
    """Cgroups, bundles, journals, /proc: short, and independent of each other."""
    NETLINK = ("netlink", 1)
    """Links, namespaces and the firewall: the kernel serialises them anyway, and their sockets are not shared."""
    DISK = ("disk", 4)
    """Images and directories: may take seconds."""
    FILES = ("files", 8)
    """Copies of containers' files, a block at a time; what a container mounts may be slow, or stuck."""
    LOGS = ("logs", 8)
    """Reading output."""


class Lanes:
    """The queues of one trio run."""

    def __init__(self) -> None:
        self._limiters = {lane: trio.CapacityLimiter(lane.value[1]) for lane in Lane}

    async def run(self, lane: Lane, function: Callable[[], T]) -> T:
        """Run a function on a thread of a lane, when it is its turn, and wait for its end."""
        return await trio.to_thread.run_sync(function, limiter=self._limiters[lane])
