"""Run all workers and the sweep, and recover the state after a start.

    follow(log) ──▶ wake(worker)          hints from drivers ──▶ wake(worker)
    sweep, every SWEEP_S:  inventory ──▶ missing or damaged: wake its worker;
                                         without an owner: discard

A worker exists while its container exists and can change: the first wake-up starts it. Only the
sweep discards orphans, and it begins after recovery, when the state is complete.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import structlog
import trio

from engine.background import Backoff, Loop, forever
from engine.domain.container.attachment import (
    ConnectFailed,
    ConnectRequested,
    Disconnected,
    DisconnectRequested,
)
from engine.domain.container.audit_events import EVENTS as USES
from engine.domain.container.events import (
    AttachOpened,
    Created,
    Exited,
    Renamed,
    Started,
    StartFailed,
    StartRequested,
)
from engine.domain.container.health import HealthChanged
from engine.domain.container.phases import Phase
from engine.domain.event import SUPERVISOR, ActorKind, Event, Origin
from engine.domain.exec.state import ExecCreated
from engine.domain.host import OrphanFound, OrphanRemoved
from engine.domain.ids import ContainerId
from engine.domain.streams import HOST
from engine.errors import DriverError
from engine.ports.kernel import Kernel
from engine.ports.observation import Inventory
from engine.ports.probes import Probes
from engine.store.ledger import Ledger
from engine.store.projections import View
from engine.store.records import Recorded
from engine.supervisor.health import HealthChecks
from engine.supervisor.networks import Networks
from engine.supervisor.starts import Starts
from engine.supervisor.worker import Worker

SWEEP_S: Final = 1.8
"""How long a change made by hand may go unnoticed when the kernel gives no hint."""
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
RECOVERY_S: Final = 1.0
"""How long recovery waits until every container has been observed, so that the first answers to
clients are true.
"""
PREPARED_MAX: Final = 8
"""How many namespaces are kept prepared for the default network."""
CAUSES_MAX: Final = 4096
"""Number of containers whose last request is remembered, to name it as the cause of what follows.
"""

_MOVES_NOTHING: Final[tuple[type[Event], ...]] = (
    *(Created, Renamed, AttachOpened, ExecCreated, HealthChanged),
    *USES,
)
"""Events that need no change in the kernel."""

_NAMES_CHANGE: Final = (
    *(StartRequested, Started, StartFailed, Exited, Renamed),
    *(ConnectRequested, ConnectFailed, DisconnectRequested, Disconnected),
)
"""Events after which a container is found by other names, at other addresses, or not at all."""

_PLACES_CHANGE: Final = (Started, StartFailed, Exited)
"""Events after which the next start gets another address than before."""

_IN_BETWEEN: Final = frozenset({Phase.STARTING, Phase.REMOVING})
"""Phases that end with the next observation that the worker records."""

log = structlog.get_logger()


class Supervisor:
    """Keeps the kernel in agreement with the log."""

    def __init__(
        self, ledger: Ledger, kernel: Kernel, probes: Probes, prepared: int = PREPARED_MAX
    ) -> None:
        self.starts = Starts(kernel.networks)
        self.health = HealthChecks(ledger, probes)
        self.networks = Networks(ledger, kernel.networks, self.wake, prepared)
        self._ledger = ledger
        self._kernel = kernel
        self._workers: dict[ContainerId, Worker] = {}
        self._causes: OrderedDict[ContainerId, Origin] = OrderedDict()
        self._nursery: trio.Nursery | None = None
        self._wake_sweep, self._sweep_woken = trio.open_memory_channel[None](1)
        self._orphans_before: set[tuple[str, str]] = set()
        self._kept_orphans: set[tuple[str, str]] = set()
        ledger.follow(self._follow)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Recover, then supervise until cancelled. Reports "started" once every container has been
        observed, or after RECOVERY_S.
        """
        async with (
            trio.open_nursery() as workers
        ):  # owns every worker and the checks; cancelling stops watching, never a container
            self._nursery = workers
            try:
                await self.networks.recover()
                self.networks.offer_all()
                for identity in tuple(self._ledger.durable.containers):
                    self.wake(identity)
                with trio.move_on_after(RECOVERY_S):
                    for worker in tuple(self._workers.values()):
                        await worker.first_pass_ended()
                workers.start_soon(self.health.run)
                task_status.started()
                await self._sweep_forever()
            finally:
                self._nursery = None

    def wake(self, container: str) -> None:
        """Let the container's worker observe it soon. Any caller may do this, at any time: a
        needless wake-up does no harm.
        """
        identity = ContainerId(container)
        if self._nursery is None or identity not in self._ledger.durable.containers:
            return
        worker = self._workers.get(identity)
        if worker is None:
            worker = Worker(identity, self._ledger, self._kernel, self.starts, self._cause)
            self._workers[identity] = worker
            self._nursery.start_soon(self._work, worker, identity)
        worker.wake()

    def _serve(self, identity: ContainerId, origin: Origin) -> None:
        """Wake the worker for a new event; a user's event also ends its back-off."""
        worker = self._workers.get(identity)
        if worker is not None and origin.actor.kind is ActorKind.USER:
            worker.reset_back_off()
        self.wake(identity)

    def _remind(self, identity: ContainerId) -> None:
        """Wake the worker unless it is backing off: then the damage is what it failed to repair."""
        worker = self._workers.get(identity)
        if worker is None or not worker.is_backing_off:
            self.wake(identity)

    async def caught_up(self, container: ContainerId) -> None:
        """Return when everything that has happened to a container before this call is in the
        log.
        """
        self.wake(container)
        if worker := self._workers.get(container):
            await worker.caught_up()

    def wake_sweep(self) -> None:
        """Sweep soon: the kernel reported that links or firewall rules have changed."""
        try:
            self._wake_sweep.send_nowait(None)
        except trio.WouldBlock:  # a sweep is due already
            return

    async def _work(self, worker: Worker, identity: ContainerId) -> None:
        try:
            await worker.run()
        finally:
            self._workers.pop(identity, None)
            self._causes.pop(identity, None)

    def _follow(self, recorded: Recorded) -> None:
        kind, _, rest = recorded.stream.partition("/")
        if kind != "container":
            return
        identity = ContainerId(rest.partition("/")[0])
        if recorded.origin.actor.kind is ActorKind.USER:
            self._causes[identity] = Origin(
                actor=recorded.origin.actor,
                cause=recorded.seq,
                correlation=recorded.origin.correlation,
            )
            self._causes.move_to_end(identity)
            if len(self._causes) > CAUSES_MAX:
                self._causes.popitem(last=False)
        if isinstance(recorded.event, _PLACES_CHANGE):
            # Not left to the sweep: the next start may come before it.
            self._offer_places(identity)
        log.info(recorded.event.TYPE, container_id=identity[:12], seq=recorded.seq)
        if isinstance(recorded.event, _NAMES_CHANGE):
            self._update_names(identity)
        if not isinstance(recorded.event, _MOVES_NOTHING):
            self._serve(identity, recorded.origin)
        if isinstance(recorded.event, Started):  # perhaps with another address
            for linked in self._ledger.durable.linked_to.get(identity, ()):
                self.wake(linked)

    def _update_names(self, identity: ContainerId) -> None:
        if container := self._ledger.durable.containers.get(identity):
            self._kernel.networks.update_names(container)

    def _offer_places(self, identity: ContainerId) -> None:
        if container := self._ledger.durable.containers.get(identity):
            for endpoint in container.endpoints:
                self.networks.offer(endpoint.network)

    def _cause(self, container: ContainerId) -> Origin:
        return self._causes.get(container) or Origin(actor=SUPERVISOR)

    # --- The sweep ---

    async def _sweep_forever(self) -> None:
        """Sweep and rest in turn. After a failure the rest is the back-off, and hints don't shorten
        it.
        """

        async def sweep_and_rest() -> None:
            began = trio.current_time()
            await self.sweep()
            took_s = trio.current_time() - began
            await self._rest(min(max(SWEEP_REST_S, SWEEP_SHARE * took_s), SWEEP_REST_MAX_S))

        await forever(Loop.SWEEP, sweep_and_rest, SWEEP_BACKOFF)

    async def _rest(self, rest_s: float) -> None:
        """Return when the next sweep is due and busy workers have had time to finish."""
        await trio.sleep(rest_s)
        with trio.move_on_after(max(0.0, SWEEP_S - rest_s)):
            await self._sweep_woken.receive()
        with trio.move_on_after(SWEEP_PATIENCE_S):  # clients are waiting for what workers do now
            for worker in tuple(self._workers.values()):
                await worker.at_rest()

    async def sweep(self) -> None:
        """Compare all kernel objects of ours with the log; see the module's drawing."""
        await self.networks.check()
        view = self._ledger.durable
        inventory = await self._kernel.inventory()
        for identity in _damaged(view, inventory):
            self._remind(identity)
        await self._discard_orphans(_orphans(self._ledger.head, inventory))
        self.networks.offer_all()

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
