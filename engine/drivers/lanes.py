"""Run blocking work on threads, with limits for each kind of work and each container.

::

    Lane      one queue shared by all, for work that ends soon: the engine's own files, netlink
    Family    one queue per container or path, for work that may hang: one thread at a time each

A system call on a file system that doesn't answer never returns, and Python can't end its thread.
Work of a family is therefore abandoned when its caller is cancelled, by a deadline or because a
client has gone, and the thread does not end soon after: it is counted, and the container's next
piece of work gets a new one. Abandoned work calls :func:`check_abandoned` between a step that may
hang and a step that changes something; what it returns is discarded.

Work of a lane is never abandoned: it ends, and its caller has to know how.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog
import trio

from engine.errors import DriverError

T = TypeVar("T")


class Run(Protocol):
    """Runs a function on some thread and waits for its end."""

    async def __call__(self, function: Callable[[], T], /) -> T:
        """Run it."""
        ...


FAMILY_THREADS_MAX: Final = 64
"""Maximum of threads of a family at once. A start needs one for milliseconds, so only hanging
threads reach the limit, and they leave it when their deadline passes. The stacks of 64 threads are
some MB at most.
"""
HANGING_EACH_MAX: Final = 3
"""Number of abandoned threads of one container that may still hang before it is refused another
one.
"""

GRACE_S: Final = 0.5
"""How long a cancelled caller waits for its thread, which mostly does not hang."""

log = structlog.get_logger()


class Lane(Enum):
    """A queue for one kind of blocking work. The value's number is how many pieces of it run at
    once.
    """

    OBSERVE = ("observe", 8)
    """Observations of containers and listings for the sweep: cgroups, /proc, journals, the engine's
    files.
    """
    NETLINK = ("netlink", 1)
    """Links, namespaces and the firewall: the kernel serialises them anyway, and their sockets are
    not shared.
    """
    DISK = ("disk", 4)
    """Images and directories: may take seconds."""
    SPOOL = ("spool", 8)
    """Uploads and archives, a block at a time: the engine's own disk only."""
    LOGS = ("logs", 8)
    """Reads of log files."""


class Family(Enum):
    """A kind of work that has one queue for each owner: a container, or a path of the host."""

    EFFECTS = "effects"
    """Effects of a start, an exec and a removal: may touch what is bind-mounted."""
    KILLS = "kills"
    """Signals for processes and cgroups; nothing that can hang uses this queue."""
    CONTROL = "control"
    """Freezing and thawing: a process in an uninterruptible state delays these, and only these."""
    FILES = "files"
    """Copies of a container's files; what it mounts may be slow, or hang."""
    LAYER = "layer"
    """Reads of a container's own layer: the engine's own disk only."""
    LOOK_UPS = "look_ups"
    """Look-ups of paths of the host, which own them."""


class _Work(Generic[T]):
    """A piece of work on a thread, which may outlive its caller."""

    def __init__(self, function: Callable[[], T], discard: Callable[[T], None] | None) -> None:
        self._function = function
        self._discard = discard
        self._guard = threading.Lock()
        self._unwanted = False
        self._results: list[T] = []
        self._at_end: Callable[[], None] | None = None
        self.has_ended = False

    def run(self) -> T:
        """Run it, on its thread."""
        try:
            result = self._function()
            self._results.append(result)
            return result
        finally:
            with self._guard:
                self.has_ended = True
                at_end = self._at_end
            if at_end is not None:
                at_end()
            self._discard_unwanted()

    async def ended(self) -> None:
        """Wait until the thread is done."""
        event, token = trio.Event(), trio.lowlevel.current_trio_token()

        def notify() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(event.set)

        with self._guard:
            if self.has_ended:
                return
            self._at_end = notify
        await event.wait()

    def discard(self) -> None:
        """Discard the result, now or when there is one: the caller has stopped waiting."""
        self._unwanted = True
        self._discard_unwanted()

    def _discard_unwanted(self) -> None:
        with self._guard:
            if not self._unwanted or not self.has_ended:
                return
            results, self._results = self._results, []
        if self._discard is not None:
            for result in results:
                self._discard(result)


@dataclass(slots=True)
class _Queue:
    """The queue of one owner in a family."""

    turn: trio.Lock = field(default_factory=trio.Lock)
    users: int = 0


class Lanes:
    """All lanes and families of one trio run."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._limiters = {lane: trio.CapacityLimiter(lane.value[1]) for lane in Lane}
        self._caps = {family: trio.CapacityLimiter(FAMILY_THREADS_MAX) for family in Family}
        self._queues: dict[tuple[Family, str], _Queue] = {}
        self._abandoned: dict[str, list[_Work[Any]]] = {}
        self.abandoned_count = 0
        """Number of threads that were abandoned since the start."""

    async def run(self, lane: Lane, function: Callable[[], T]) -> T:
        """Run a function on a thread of a lane, when it is its turn, and wait for its end."""
        return await trio.to_thread.run_sync(function, limiter=self._limiters[lane])

    async def run_for(
        self,
        owner: str,
        function: Callable[[], T],
        family: Family = Family.EFFECTS,
        *,
        discard: Callable[[T], None] | None = None,
    ) -> T:
        """Run a function on a thread of its owner, after the owner's earlier work.

        Args:
            owner: the ID of a container, or a path of the host.
            function: the blocking work.
            family: which of the owner's queues.
            discard: closes what the function returns after its caller was cancelled.
        """
        queue = self._queues.setdefault((family, owner), _Queue())
        queue.users += 1
        try:
            async with queue.turn, self._caps[family]:
                return await self._on_new_thread(owner, _Work(function, discard))
        finally:
            queue.users -= 1
            if not queue.users:
                self._queues.pop((family, owner), None)

    async def _on_new_thread(self, owner: str, work: _Work[T]) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()  # from here on the thread does begin
        try:
            return await trio.to_thread.run_sync(
                work.run, abandon_on_cancel=True, limiter=_no_limit()
            )
        except trio.Cancelled:
            with trio.move_on_after(self._grace_s, shield=True):
                await work.ended()
            work.discard()
            if not work.has_ended:
                self._abandon(owner, work)
            raise

    def _abandon(self, owner: str, work: _Work[Any]) -> None:
        self.abandoned_count += 1
        self._abandoned.setdefault(owner, []).append(work)
        log.warning(
            "thread_abandoned",
            **_labelled(owner),
            hanging=self.all_hanging(),
            since_start=self.abandoned_count,
        )

    def hanging(self, owner: str) -> int:
        """Return how many abandoned threads of an owner have not ended yet."""
        hanging = [work for work in self._abandoned.pop(owner, ()) if not work.has_ended]
        if hanging:
            self._abandoned[owner] = hanging
        return len(hanging)

    def all_hanging(self) -> int:
        """Return how many abandoned threads have not ended yet."""
        return sum(map(self.hanging, tuple(self._abandoned)))

    def refuse_hanging(self, owner: str) -> None:
        """Refuse another thread to an owner that has too many hanging ones.

        Raises:
            DriverError: HANGING_EACH_MAX threads or more hang.
        """
        if (count := self.hanging(owner)) >= HANGING_EACH_MAX:
            raise DriverError(
                f"{count} earlier attempts still wait for a file system that doesn't answer; "
                "mount it anew, or remove its mount, and try again"
            )


def _labelled(owner: str) -> dict[str, str]:
    return {"path": owner} if owner.startswith("/") else {"container_id": owner[:12]}


def _no_limit() -> trio.CapacityLimiter:
    """Return a new limiter for one call. The caller already holds a place in the queue and in the
    family's limit, and frees both when it abandons the thread.
    """
    return trio.CapacityLimiter(1)


def check_abandoned() -> None:
    """End this work if it was abandoned. Called on its thread, after a step that may hang.

    Raises:
        trio.Cancelled: the caller was cancelled.
    """
    with suppress(RuntimeError):  # not a thread of trio's: a test calls the driver directly
        trio.from_thread.check_cancelled()
