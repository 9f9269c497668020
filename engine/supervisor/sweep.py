"""Compare all kernel objects of ours with the log, again and again.

    rest ─▶ nothing recorded, and nothing has changed in the kernel: rest again
         ─▶ else, and every EVERYTHING_S: inventory ──▶ missing or damaged objects: wake the worker
                                                    ──▶ orphans: discard

Orphans are discarded only here, and only after recovery, because before that the owners of objects
are not all known.
"""

from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from typing import Final

import trio

from engine.background import Backoff, Loop, forever
from engine.domain.container.audit_events import EVENTS as AUDIT_EVENTS
from engine.domain.container.events import AttachOpened, Created, Renamed
from engine.domain.container.health import HealthChanged
from engine.domain.container.phases import Phase
from engine.domain.event import SUPERVISOR, Event, Origin
from engine.domain.exec.state import ExecCreated
from engine.domain.host import OrphanFound, OrphanRemoved
from engine.domain.ids import ContainerId
from engine.domain.streams import HOST
from engine.errors import DriverError
from engine.ports.kernel import Kernel
from engine.ports.observation import Inventory
from engine.store.ledger import Ledger
from engine.store.projections import View
from engine.store.records import Recorded
from engine.supervisor.networks import NetworkSupervisor
from engine.supervisor.unstarted_execs import expired_execs

SWEEP_S: Final = 1.8
"""How long a change made by hand may go unnoticed when the kernel gives no hint."""
EVERYTHING_S: Final = 60.0
"""After this time everything is inspected even if nothing seems to have changed."""
SWEEP_REST_S: Final = 0.2
"""How long hints are gathered before the next sweep: one start or removal makes the kernel report a
dozen changes of links.
"""
SWEEP_SHARE: Final = 8
"""A sweep is followed by a rest of this many times its own length, so that most of the time is left
to requests even with many containers.
"""
SWEEP_REST_MAX_S: Final = 1.5
"""Limit of that rest, so that a change made by hand is found within two seconds."""
SWEEP_BACKOFF: Final = Backoff(first_s=SWEEP_S, max_s=15.0)
"""The first retry of a failed sweep comes when the next sweep would have been due anyway."""
SWEEP_PATIENCE_S: Final = 0.2
"""How long a sweep waits for busy workers to finish first."""
EXPIRED_MAX: Final = 512
"""Execs that one sweep ends: each is encoded while nothing else can happen."""

MOVES_NOTHING: Final[tuple[type[Event], ...]] = (
    *(Created, Renamed, AttachOpened, ExecCreated, HealthChanged),
    *AUDIT_EVENTS,
)
"""Events that need no change in the kernel."""

_IN_BETWEEN: Final = frozenset({Phase.STARTING, Phase.REMOVING})
"""Phases that end with the next observation that the worker records."""
_KINDS: Final = ("container", "network")
"""Kinds of streams whose events change what the kernel should have."""


class Sweep:
    """Finds damage that workers get no hint of, and orphans."""

    def __init__(
        self,
        ledger: Ledger,
        kernel: Kernel,
        networks: NetworkSupervisor,
        wake_worker: Callable[[ContainerId], None],
        workers_at_rest: Callable[[], Awaitable[None]],
    ) -> None:
        """``wake_worker`` is called for each container that looks damaged."""
        self._ledger = ledger
        self._kernel = kernel
        self._networks = networks
        self._wake_worker = wake_worker
        self._workers_at_rest = workers_at_rest
        self._wake, self._woken = trio.open_memory_channel[None](1)
        self._orphans_before: set[tuple[str, str]] = set()
        self._kept_orphans: set[tuple[str, str]] = set()
        self._recorded = 0
        """How many events have been recorded that may have changed the kernel."""
        self._agreed: int | None = None
        """That number when the last inspection of everything found no fault; None if it found
        one.
        """
        self._inspected_s = 0.0
        """When everything was last inspected."""
        ledger.follow(self._follow)

    def wake(self) -> None:
        """Request a sweep soon: the kernel reported a change of links or firewall rules."""
        try:
            self._wake.send_nowait(None)
        except trio.WouldBlock:  # a sweep is due already
            return

    def _follow(self, recorded: Recorded) -> None:
        kind, _, rest = recorded.stream.partition("/")
        is_of_exec = "/" in rest  # a sweep inspects nothing of execs
        if kind in _KINDS and not is_of_exec and not isinstance(recorded.event, MOVES_NOTHING):
            self._recorded += 1

    async def run(self) -> None:
        """Sweep and rest in turn, until cancelled. After a failure the rest is the back-off, and
        hints don't shorten it.
        """

        async def sweep_and_rest() -> None:
            began = trio.current_time()
            await self._sweep()
            took_s = trio.current_time() - began
            await self._rest(min(max(SWEEP_REST_S, SWEEP_SHARE * took_s), SWEEP_REST_MAX_S))

        await forever(Loop.SWEEP, sweep_and_rest, SWEEP_BACKOFF)

    async def _rest(self, rest_s: float) -> None:
        """Return when the next sweep is due."""
        earliest = trio.current_time() + rest_s
        with trio.move_on_after(SWEEP_S):
            await self._woken.receive()
        await trio.sleep_until(earliest)

    async def _sweep(self) -> None:
        """Inspect everything if something may have changed."""
        agreed, self._agreed = self._agreed, None  # a failure may drop notices that nobody acts on
        may_have_changed = await self._kernel.may_have_changed()
        is_old = trio.current_time() - self._inspected_s >= EVERYTHING_S
        if may_have_changed or is_old or agreed != self._recorded:
            with trio.move_on_after(SWEEP_PATIENCE_S):  # clients wait for what workers do now
                await self._workers_at_rest()
            await self._inspect()
        else:
            self._agreed = agreed
        await self._end_unstarted_execs()

    async def _end_unstarted_execs(self) -> None:
        """Record the end of execs that were not started in time, all in one append."""
        expired = expired_execs(self._ledger.head, self._ledger.clock.wall_ns())
        await self._ledger.record(Origin(actor=SUPERVISOR), *islice(expired, EXPIRED_MAX))

    async def _inspect(self) -> None:
        """Compare all kernel objects of ours with the log; see the module's drawing."""
        recorded = self._recorded
        networks_are_right = await self._networks.check()
        view = self._ledger.durable
        inventory = await self._kernel.inventory()
        damaged = tuple(_damaged(view, inventory))
        for identity in damaged:
            self._wake_worker(identity)
        orphans = _orphans(self._ledger.head, inventory)
        await self._discard_orphans(orphans)
        self._networks.offer_all()
        self._inspected_s = trio.current_time()
        if networks_are_right and not damaged and orphans <= self._kept_orphans:
            self._agreed = recorded

    async def _discard_orphans(self, orphans: set[tuple[str, str]]) -> None:
        """Discard what two sweeps in a row found without an owner. An object found once may belong
        to an action in progress.
        """
        confirmed = (orphans & self._orphans_before) - self._kept_orphans
        self._orphans_before = orphans - confirmed
        for kind, name in sorted(confirmed):
            origin = Origin(actor=SUPERVISOR)
            try:
                await self._kernel.discard(kind, name)
            except (DriverError, OSError) as error:
                self._kept_orphans.add((kind, name))
                found = OrphanFound(kind=kind, name=name, reason=str(error))
                await self._ledger.record(origin, (HOST, (found,)))
            else:
                await self._ledger.record(origin, (HOST, (OrphanRemoved(kind=kind, name=name),)))


def _damaged(view: View, inventory: Inventory) -> Iterable[ContainerId]:
    """Return the containers with damage, and those in a phase for which a hint may have been
    lost.
    """
    for identity, container in view.containers.items():
        if container.phase in _IN_BETWEEN:
            yield identity
        if not container.is_running:
            continue
        if (
            (
                container.sandbox is not None
                and (
                    container.sandbox not in inventory.sandboxes
                    or container.sandbox in inventory.damaged_sandboxes
                )
            )
            or identity in inventory.damaged_cgroups
            or identity in inventory.missing_files
            or identity not in inventory.cgroups
        ):
            yield identity


def _orphans(view: View, inventory: Inventory) -> set[tuple[str, str]]:
    known = view.containers.keys()
    sandboxes = {container.sandbox for container in view.containers.values() if container.sandbox}
    bridges = {network.bridge for network in view.networks.values()}
    return {
        *(("bundle", name) for name in inventory.bundles - known),
        *(("cgroup", name) for name in inventory.cgroups - known),
        *(("directory", name) for name in inventory.directories - known),
        *(("sandbox", name) for name in inventory.sandboxes - sandboxes),
        *(("bridge", name) for name in inventory.bridges - bridges),
    }
