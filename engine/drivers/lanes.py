"""Run blocking work on threads, with limits for each kind of work and each container.

::

    Lane      a queue that everybody shares, for work that is bounded: the engine's own files, netlink
    Family    a queue for each container, for work that may hang: one thread at a time for each

A system call on a file system that doesn't answer never returns, and Python can't end its thread.
Work of a family is therefore given up when its caller is cancelled, which a deadline does: the
thread is counted, and the container's next piece of work gets a new one. What was given up calls
:func:`check_wanted` between what may hang and what changes something.

Work of a lane is never given up: it ends, and its caller has to know how.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog
import trio

from engine.domain.ids import ContainerId
from engine.errors import DriverError

T = TypeVar("T")


class Run(Protocol):
    """Runs a function on some thread and waits for its end."""

    async def __call__(self, function: Callable[[], T], /) -> T:
        """Run it."""
        ...


FAMILY_THREADS_MAX: Final = 64
"""Threads of a family at once: a start takes milliseconds of one, so it is reached only by hanging
ones, which leave when their deadline passes; 64 stacks are some MB when they are used at all."""
HANGING_EACH_MAX: Final = 3
"""Threads of one container that were given up and still hang, before it is refused another one."""

log = structlog.get_logger()


class Lane(Enum):
    """A queue for a kind of blocking work; the value is how much of it runs at once."""

    OBSERVE = ("observe", 8)
    """Looks at containers and listings for the sweep: cgroups, /proc, journals, the engine's
    files.
    """
    NETLINK = ("netlink", 1)
    """Links, namespaces and the firewall: the kernel serialises them anyway, and their sockets are
    not shared."""
    DISK = ("disk", 4)
    """Images and directories: may take seconds."""
    SPOOL = ("spool", 8)
    """Uploads and archives, a block at a time: the engine's own disk only."""
    LOGS = ("logs", 8)
    """Reading output."""


class Family(Enum):
    """Queues for one kind of work, one for each container."""

    EFFECTS = "effects"
    """What a start, an exec and a removal make and take away: may touch what is bind-mounted."""
    KILLS = "kills"
    """Signals for processes and cgroups; nothing that could hang queues here."""
    CONTROL = "control"
    """Freezing and thawing: a process in an uninterruptible state holds these up, and only
    these.
    """
    FILES = "files"
    """Copies of a container's files; what it mounts may be slow, or hang."""


class _Work(Generic[T]):
    """A piece of work on a thread, which may outlive its caller's interest."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self.has_ended = False

    def run(self) -> T:
        try:
            return self._function()
        finally:
            self.has_ended = True


@dataclass(slots=True)
class _Queue:
    """One container's turn in a family."""

    turn: trio.Lock = field(default_factory=trio.Lock)
    users: int = 0


class Lanes:
    """The queues of one trio run."""

    def __init__(self) -> None:
        self._limiters = {lane: trio.CapacityLimiter(lane.value[1]) for lane in Lane}
        self._caps = {family: trio.CapacityLimiter(FAMILY_THREADS_MAX) for family in Family}
        self._queues: dict[tuple[Family, ContainerId], _Queue] = {}
        self._given_up: dict[ContainerId, list[_Work[Any]]] = {}
        self.given_up_count = 0
        """Threads that were given up since the start."""

    async def run(self, lane: Lane, function: Callable[[], T]) -> T:
        """Run a function on a thread of a lane, when it is its turn, and wait for its end."""
        return await trio.to_thread.run_sync(function, limiter=self._limiters[lane])

    async def run_for(
        self,
        container: ContainerId,
        function: Callable[[], T],
        family: Family = Family.EFFECTS,
        *,
        may_give_up: bool = True,
    ) -> T:
        """Run a function on a thread of a container's own, when its work before that is done.

        Args:
            container: whose queue it is.
            function: what blocks.
            family: of the container's queues, which one.
            may_give_up: give the thread up when the caller is cancelled. Not where the function
                returns something that has to be closed.
        """
        queue = self._queues.setdefault((family, container), _Queue())
        queue.users += 1
        try:
            async with queue.turn, self._caps[family]:
                if not may_give_up:
                    return await trio.to_thread.run_sync(function, limiter=_no_limit())
                return await self._on_new_thread(container, function)
        finally:
            queue.users -= 1
            if not queue.users:
                self._queues.pop((family, container), None)

    async def _on_new_thread(self, container: ContainerId, function: Callable[[], T]) -> T:
        work = _Work(function)
        try:
            return await trio.to_thread.run_sync(
                work.run, abandon_on_cancel=True, limiter=_no_limit()
            )
        except trio.Cancelled:
            if not work.has_ended:
                self._give_up(container, work)
            raise

    def _give_up(self, container: ContainerId, work: _Work[Any]) -> None:
        self.given_up_count += 1
        self._given_up.setdefault(container, []).append(work)
        log.warning(
            "thread_given_up",
            container_id=container[:12],
            hanging=self.all_hanging(),
            since_start=self.given_up_count,
        )

    def hanging(self, container: ContainerId) -> int:
        """Return how many threads of a container were given up and have not ended since."""
        hanging = [work for work in self._given_up.pop(container, ()) if not work.has_ended]
        if hanging:
            self._given_up[container] = hanging
        return len(hanging)

    def all_hanging(self) -> int:
        """Return how many threads were given up and have not ended since."""
        return sum(map(self.hanging, tuple(self._given_up)))

    def refuse_hanging(self, container: ContainerId) -> None:
        """Refuse another thread to a container that has too many hanging ones.

        Raises:
            DriverError: it has.
        """
        if (count := self.hanging(container)) >= HANGING_EACH_MAX:
            raise DriverError(
                f"{count} earlier attempts still wait for a file system that doesn't answer; "
                "mount it anew, or remove its mount, and try again"
            )


def _no_limit() -> trio.CapacityLimiter:
    """Return a limiter for one call: the caller holds its place already, and gives it back when it
    gives up.
    """
    return trio.CapacityLimiter(1)


def check_wanted() -> None:
    """End work that was given up. Called on its thread, after what may hang.

    Raises:
        trio.Cancelled: nobody waits for it any more.
    """
    with suppress(RuntimeError):  # not a thread of trio's: a test calls the driver by itself
        trio.from_thread.check_cancelled()
