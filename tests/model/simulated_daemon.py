"""Run daemons one after the other on one simulated machine, over one real database."""

import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import trio

from engine.daemon.log_state import LogState
from engine.domain.container.health import HealthStatus
from engine.domain.container.phases import Phase
from engine.domain.container.resources import Machine as Abilities
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.event import Actor, ActorKind, Origin
from engine.domain.host import HostInitialised
from engine.domain.ids import ImageId, InstanceId, NetworkId
from engine.domain.image.config import ImageContents
from engine.domain.image.state import ImageImported
from engine.domain.network.addresses import IPV4_SOURCES
from engine.domain.network.state import DEFAULT_BRIDGE_OPTION, NetworkCreated, Pool
from engine.domain.streams import HOST, image_stream, network_stream
from engine.queries.history import History
from engine.queries.waiting import Changes
from engine.service.containers.streams import ContainerStreams
from engine.service.containers.updates import Updates
from engine.service.containers.verbs import Containers
from engine.service.execs import Execs
from engine.service.networks import Networks
from engine.store.commit import Batch
from engine.store.ledger import Ledger
from engine.store.log import EventLog, Pending
from engine.store.records import Change
from engine.supervisor.supervisor import Supervisor
from tests.fakes.host import SimulatedHost
from tests.fakes.streams import SimulatedStreams
from tests.model.simulated_kernel import SimulatedKernel, SimulatedProbes
from tests.model.simulated_machine import CrashPoint, Machine

USER = Origin(actor=Actor(kind=ActorKind.USER, uid=1000, name="somebody"), correlation="c" * 32)
SETTLE_S = 200.0
"""Virtual time: longer than any grace period, delay or retry in the histories."""
IMAGE = ImageContents(
    id=ImageId("sha256:" + "1" * 64),
    config_bytes=2,
    created="",
    architecture="amd64",
    os="linux",
)


class CrashingLog(EventLog):
    """A log that may lose the daemon just before a commit, or just after it, before any caller is
    answered.
    """

    crash = CrashPoint()
    _waiting: list[Pending] | None = None

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Commit nothing until the end of the block; appends are accepted meanwhile, and wait."""
        self._waiting = []
        yield
        waiting, self._waiting = self._waiting, None
        for pending in waiting:
            self._deliver([pending], self._committer.commit([pending.batch]))

    def submit(  # type: ignore[override]  # narrower
        self, changes: list[Change], *, essential: bool = False, is_awaited: bool = True
    ) -> Pending:
        if self._waiting is not None:
            self._waiting.append(Pending(Batch.of(changes, self.codec, essential=essential), None))
            return self._waiting[-1]
        self.crash.step()
        pending = super().submit(changes, essential=essential, is_awaited=is_awaited)
        self.crash.step()
        return pending


@dataclass
class Daemon:
    """One life of the daemon."""

    ledger: Ledger
    kernel: SimulatedKernel
    supervisor: Supervisor
    containers: Containers
    execs: Execs
    connections: SimulatedStreams
    streams: ContainerStreams
    history: History
    networks: Networks
    updates: Updates


@dataclass
class World:
    """The machine, the disk, and the answers that users got."""

    directory: Path
    machine: Machine = field(default_factory=Machine)
    images: tuple[ImageContents, ...] = (IMAGE,)
    """The images that exist from the beginning."""

    @property
    def database(self) -> Path:
        return self.directory / "shipslog.db"

    @asynccontextmanager
    async def daemon(self, crash: CrashPoint) -> AsyncIterator[Daemon]:
        """Run a daemon from its start to its end, which is always a SIGKILL."""
        log = CrashingLog.open(self.database, threaded=False)
        assert isinstance(log, CrashingLog)
        log.crash = crash
        try:
            ledger = Ledger(log, self.machine.clock)
            kernel = SimulatedKernel(self.machine, crash, LogState(ledger).running)
            supervisor = Supervisor(ledger, kernel, SimulatedProbes(self.machine, crash))
            self.machine.wake = supervisor.wake
            changes = Changes(ledger)
            streams, host = SimulatedStreams(self.machine), SimulatedHost()
            if ledger.head.is_new:
                await _begin(ledger, self.images)
            async with trio.open_nursery() as nursery:
                await nursery.start(supervisor.run)
                yield Daemon(
                    ledger=ledger,
                    kernel=kernel,
                    supervisor=supervisor,
                    containers=Containers(
                        ledger,
                        supervisor.starts,
                        supervisor.health,
                        streams,
                        host,
                        changes,
                        Abilities(cpus="0-1"),
                    ),
                    execs=Execs(ledger, supervisor, streams, changes),
                    connections=streams,
                    streams=ContainerStreams(ledger, streams, host, changes),
                    history=History(ledger),
                    networks=Networks(ledger, supervisor.networks, changes, IPV4_SOURCES),
                    updates=Updates(ledger, changes, Abilities(cpus="0-3")),
                )
                nursery.cancel_scope.cancel()
        finally:
            self.machine.wake = lambda _container: None
            log.close()

    async def settled(self) -> None:
        """Run a new daemon for as long as it needs; then check that everything agrees."""
        async with self.daemon(CrashPoint()) as daemon:
            await trio.sleep(SETTLE_S)
            self.check(daemon)

    def check(self, daemon: Daemon) -> None:
        """Check that log and kernel agree, nothing is left over, and nothing was done twice."""
        view, machine = daemon.ledger.durable, self.machine
        for identity, place in machine.places.items():
            container = view.containers.get(identity)
            if container is None or not container.is_running:
                assert container is None or container.phase in (Phase.CREATED, Phase.EXITED), (
                    container
                )
                assert place.monitor is None
                assert place.process is None or not place.process.alive
                assert not place.sandboxes
                assert not place.cgroup
                assert not place.bundle
                assert not place.ports
                assert container is not None or not place.directory
        for container in view.containers.values():
            assert container.phase not in (Phase.STARTING, Phase.REMOVING, Phase.DEAD), container
            assert not container.orders, container
            assert not container.start_again, container
            if container.is_running:
                self._check_running(container)
            elif container.exit_reason == "exited":
                assert container.exit_code == machine.exits[container.id, container.run]
        assert not view.execs or all(
            view.containers[execution.container].is_running for execution in view.execs.values()
        )
        bridges = {each.bridge for each in view.networks.values()}
        assert machine.bridges == bridges
        assert not any(each.is_going for each in view.networks.values())
        _check_addresses(view.containers.values())
        assert all(count == 1 for count in machine.launches.values()), machine.launches
        assert all(count == 1 for count in machine.deliveries.values()), machine.deliveries
        assert all(count == 1 for count in machine.exec_starts.values()), machine.exec_starts
        assert daemon.supervisor._workers.keys() <= view.containers.keys()
        assert len(machine.loose_sandboxes) <= len(daemon.kernel._prepared)
        verdict = daemon.history._verify(lambda: None)
        assert verdict.problems == ()
        assert verdict.first_bad_seq is None

    def _check_running(self, container: Container) -> None:
        place = self.machine.places[container.id]
        assert place.monitor == container.monitor
        assert place.process is not None
        assert place.process.alive
        assert place.process.identity == container.process
        assert place.sandboxes == ({container.sandbox} if container.sandbox else set())
        assert place.interfaces == {each.network for each in container.endpoints}
        assert len(place.interfaces) == len(container.endpoints)
        assert place.cgroup
        assert place.limits == container.spec.resources
        assert place.bundle
        assert place.frozen == (container.phase is Phase.PAUSED)
        if container.health is not None:
            assert container.health.status is not HealthStatus.STARTING, "it has been asked by now"


def _check_addresses(containers: Iterable[Container]) -> None:
    """Check that no two containers have the same address."""
    given = Counter(
        (endpoint.network, address)
        for container in containers
        if container.is_running
        for endpoint in container.endpoints
        for address in endpoint.addresses
    )
    assert all(count == 1 for count in given.values()), given


async def _begin(ledger: Ledger, images: Iterable[ImageContents]) -> None:
    network = NetworkId("b" * 64)
    await ledger.record(
        USER,
        (HOST, (HostInitialised(instance=InstanceId("a" * 32)),)),
        (
            network_stream(network),
            (
                NetworkCreated(
                    id=network,
                    name="bridge",
                    driver="bridge",
                    bridge="br0",
                    ipv4=Pool(subnet="172.17.0.0/16", gateway="172.17.0.1"),
                    options={DEFAULT_BRIDGE_OPTION: "true"},
                ),
            ),
        ),
        *((image_stream(each.id), (ImageImported(contents=each, source="-"),)) for each in images),
    )


@cache
def _empty_database() -> Path:
    directory = Path(mkdtemp(prefix="shipslog-model-"))
    EventLog.open(directory / "shipslog.db", threaded=False).close()
    return directory


def fresh_world(directory: Path, *images: ImageContents) -> World:
    """Return a machine whose data root holds some images and nothing else."""
    shutil.copytree(_empty_database(), directory)
    return World(directory, images=images)


def spec(**labels: str) -> Spec:
    """Return the spec of a container that behaves as its labels say."""
    return Spec(image="busybox", image_id=IMAGE.id, command=("sleep",), labels=labels)
