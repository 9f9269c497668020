"""Run all workers and the sweep, and recover the state after a start.

    follow(log) ──▶ wake(worker)     hints from drivers ──▶ wake(worker)     sweep ──▶ wake(worker)

A worker exists while its container exists and can change: the first wake-up starts it. The sweep
begins after recovery, when the state is complete.
"""

from collections import OrderedDict
from typing import Final

import structlog
import trio

from engine.domain.container.attachment import (
    ConnectFailed,
    ConnectRequested,
    Disconnected,
    DisconnectRequested,
)
from engine.domain.container.events import (
    Exited,
    Renamed,
    Started,
    StartFailed,
    StartRequested,
)
from engine.domain.event import SUPERVISOR, ActorKind, Origin
from engine.domain.ids import ContainerId
from engine.ports.kernel import Kernel
from engine.ports.probes import Probes
from engine.store.ledger import Ledger
from engine.store.records import Recorded
from engine.supervisor.health import HealthChecks
from engine.supervisor.networks import NetworkSupervisor
from engine.supervisor.starts import Starts
from engine.supervisor.sweep import MOVES_NOTHING, Sweep
from engine.supervisor.worker import Worker

RECOVERY_S: Final = 1.0
"""How long recovery waits until every container has been observed, so that the first answers to
clients are true.
"""
PREPARED_MAX: Final = 8
"""How many namespaces are kept prepared for the default network."""
CAUSES_MAX: Final = 4096
"""Number of containers whose last request is remembered, to name it as the cause of what follows.
"""

_NAMES_CHANGE: Final = (
    *(StartRequested, Started, StartFailed, Exited, Renamed),
    *(ConnectRequested, ConnectFailed, DisconnectRequested, Disconnected),
)
"""Events after which a container is found by other names, at other addresses, or not at all."""

_PLACES_CHANGE: Final = (Started, StartFailed, Exited)
"""Events after which the next start gets another address than before."""

log = structlog.get_logger()


class Supervisor:
    """Keeps the kernel in agreement with the log."""

    def __init__(
        self, ledger: Ledger, kernel: Kernel, probes: Probes, prepared: int = PREPARED_MAX
    ) -> None:
        self.starts = Starts(kernel.networks)
        self.health = HealthChecks(ledger, probes)
        self.networks = NetworkSupervisor(ledger, kernel.networks, self.wake, prepared)
        self._ledger = ledger
        self._kernel = kernel
        self._workers: dict[ContainerId, Worker] = {}
        self._causes: OrderedDict[ContainerId, Origin] = OrderedDict()
        self._nursery: trio.Nursery | None = None
        self._sweep = Sweep(
            ledger, kernel, self.networks, self._wake_unless_backing_off, self._workers_at_rest
        )
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
                await self._sweep.run()
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

    def _wake_unless_backing_off(self, identity: ContainerId) -> None:
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
        """Request a sweep soon: the kernel reported a change of links or firewall rules."""
        self._sweep.wake()

    async def _workers_at_rest(self) -> None:
        """Return when no worker has a pass under way."""
        for worker in tuple(self._workers.values()):
            await worker.at_rest()

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
        if not isinstance(recorded.event, MOVES_NOTHING):
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
