"""Run one test against the simulated kernel and against the real one, both over a real log."""

import io
import os
import resource
import secrets
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import cache, partial
from pathlib import Path
from signal import SIGKILL
from typing import Any, Final

import pytest
import trio
import trio.testing

from engine.cli.builtin_image import busybox_tar
from engine.daemon.clock import KernelClock
from engine.daemon.config import Config
from engine.daemon.drivers import Drivers, make_drivers, make_files, make_probes, make_streams
from engine.daemon.log_state import LogState
from engine.daemon.networks import bridge_name
from engine.domain import naming
from engine.domain.container.events import Created
from engine.domain.container.namespace_sharing import NONE
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.event import SUPERVISOR, Event, Origin
from engine.domain.exec.state import Exec, ExecCreated, ExecSpec, ExecStartRequested
from engine.domain.host import HostInitialised
from engine.domain.ids import ContainerId, ExecId, ImageId, InstanceId, NetworkId
from engine.domain.network.state import DEFAULT_BRIDGE_OPTION, Network, NetworkCreated, Pool
from engine.domain.streams import HOST, container_stream, exec_stream, network_stream
from engine.drivers.usage import LinuxUsage
from engine.errors import EngineError
from engine.ports import actions as do
from engine.ports.actions import Action
from engine.ports.files import ContainerFiles
from engine.ports.kernel import Kernel
from engine.ports.observation import Fact, Observation
from engine.ports.probes import Probes
from engine.ports.streams import Streams
from engine.ports.usage import Usage
from engine.store.ledger import Ledger
from engine.store.log import EventLog
from engine.supervisor.missing_events import conclude
from engine.supervisor.starts import Starts
from tests.contract.programs import COUNTED, HEARD, Program
from tests.fakes.files import FakeFiles, image_tar
from tests.fakes.streams import SimulatedStreams
from tests.fakes.usage import SimulatedUsage
from tests.harness import kernel_inventory
from tests.kernel.monitors import children, innermost
from tests.model.simulated_kernel import SimulatedKernel, SimulatedProbes
from tests.model.simulated_machine import CrashPoint, Machine
from tests.timeouts import patient

PATIENCE_S: Final = 20.0
"""Longer than anything that should happen takes."""
LOOK_S: Final = 0.01
ORIGIN: Final = Origin(actor=SUPERVISOR)
PREPARES: Final = (do.PrepareSandbox(), do.PrepareRun())


class MachineUnderTest(ABC):
    """One kernel and a log; the test decides what happens, in place of a supervisor."""

    usage: Usage
    files: ContainerFiles
    streams: Streams

    def __init__(self, ledger: Ledger, kernel: Kernel, probes: Probes, image: ImageId) -> None:
        self.ledger = ledger
        self.kernel = kernel
        self.probes = probes
        self._image = image

    # --- The log ---

    def container(self, identity: ContainerId) -> Container:
        """Return a container as the log has it now."""
        return self.ledger.durable.containers[identity]

    async def record(self, identity: ContainerId, *events: Event) -> None:
        """Append events to a container's stream."""
        await self.ledger.record(ORIGIN, (container_stream(identity), events))

    async def create(self, program: Program | None = None, **fields: Any) -> ContainerId:
        """Define a container, by default of busybox and without a network."""
        identity = ContainerId(secrets.token_hex(32))
        defaults = {"network_mode": NONE, "image_id": self._image}
        spec = self._spec(program or Program(), {**defaults, **fields})
        await self.record(identity, Created(id=identity, name=identity[:8], spec=spec))
        return identity

    def _spec(self, program: Program, fields: dict[str, Any]) -> Spec:
        return Spec(
            image="busybox",
            command=program.command,
            labels=program.labels,
            **fields,
        )

    async def ask_start(self, identity: ContainerId) -> None:
        """Decide a start, with a sandbox and addresses."""
        decided = Starts(self.kernel.networks).decide(self.ledger.head, self.container(identity))
        await self.record(identity, *decided)

    async def ask_exec(self, identity: ContainerId, *arguments: str) -> Exec:
        """Define an exec and decide its start."""
        execution = ExecId(secrets.token_hex(32))
        created = ExecCreated(id=execution, container=identity, spec=ExecSpec(arguments=arguments))
        stream = exec_stream(identity, execution)
        await self.ledger.record(ORIGIN, (stream, (created, ExecStartRequested(detach=True))))
        return self.ledger.durable.execs[execution]

    async def make_network(self, name: str, subnet: str, gateway: str) -> Network:
        """Define a network; its bridge is not made."""
        created = NetworkCreated(
            id=NetworkId(secrets.token_hex(32)),
            name=name,
            driver="bridge",
            bridge=f"{bridge_name(self.ledger.durable.host.instance)}x",
            ipv4=Pool(subnet=subnet, gateway=gateway),
        )
        await self.ledger.record(ORIGIN, (network_stream(created.id), (created,)))
        return self.ledger.durable.networks[created.id]

    # --- The kernel ---

    async def act(self, identity: ContainerId, action: Action) -> tuple[Fact, ...]:
        """Perform one action on a container as the log has it."""
        return await self.kernel.perform(self.container(identity), action)

    async def look(self, identity: ContainerId, facts_after: int = 0) -> Observation:
        """Observe a container."""
        return await self.kernel.observe(self.container(identity), facts_after)

    async def until(
        self, identity: ContainerId, happened: Callable[[Observation], bool]
    ) -> Observation:
        """Observe a container again and again until something shows."""
        while not happened(seen := await self.look(identity)):  # noqa: ASYNC110  (nobody tells)
            await trio.sleep(LOOK_S)
        return seen

    async def take(self, identity: ContainerId) -> None:
        """Append what an observation tells that the log does not know."""
        view = self.ledger.durable
        execs = {key: each for key, each in view.execs.items() if each.container == identity}
        seen = await self.look(identity)
        boot_ns = self.ledger.clock.boot_ns()
        for each in conclude(self.container(identity), execs, seen, None, boot_ns):
            origin = Origin(actor=each.actor)
            await self.ledger.record(origin, (each.stream, each.events), at_ns=each.at_ns)

    async def prepare(self, identity: ContainerId) -> None:
        """Decide a start, and prepare everything for it."""
        await self.ask_start(identity)
        for action in PREPARES:
            if action != do.PrepareSandbox() or self.container(identity).sandbox is not None:
                await self.act(identity, action)

    async def start(self, program: Program | None = None, **fields: Any) -> ContainerId:
        """Have a container that runs; its program is ready for signals."""
        identity = await self.create(program, **fields)
        await self.prepare(identity)
        await self.act(identity, do.Launch())
        await self.take(identity)
        assert self.container(identity).is_running, "the log has it from the journal"
        await self.until_ready(identity)
        return identity

    async def end(self, identity: ContainerId) -> None:
        """Have a container that runs end, and let the log know."""
        await self.act(identity, do.KillEverything())
        await self.until(identity, lambda seen: not seen.monitor_alive)
        await self.take(identity)

    # --- What no port tells ---

    @abstractmethod
    def image_of_files(self) -> ImageId:
        """An image that holds :data:`tests.fakes.files.IMAGE` and no program."""

    @abstractmethod
    async def until_ready(self, identity: ContainerId) -> None:
        """Return when a container's program has set its signal handlers."""

    @abstractmethod
    def heard(self, identity: ContainerId, order: int) -> int:
        """How often the counted signal of an order has reached the program."""

    @abstractmethod
    def pids_max(self, identity: ContainerId) -> int | None:
        """The limit that holds for a container's number of processes."""

    @abstractmethod
    def interfaces(self, identity: ContainerId) -> int:
        """How many interfaces, besides lo, a container has."""

    @abstractmethod
    def add_foreign_link(self, name: str) -> None:
        """Have a link that somebody else has made."""

    @abstractmethod
    def links(self) -> set[str]:
        """Names of the host's links."""

    @abstractmethod
    def occupied_port(self) -> int:
        """A TCP port that a process of the host has, until the test ends."""

    @abstractmethod
    def offered_sandboxes(self) -> int:
        """How many sandboxes of the offered ones exist, the last one perhaps in part."""

    @abstractmethod
    def probe_runs(self, identity: ContainerId) -> bool:
        """Whether the command of a health check runs in a container at this moment."""

    @abstractmethod
    async def break_sandbox(self, identity: ContainerId) -> None:
        """Damage a container's network behind the engine's back."""

    @abstractmethod
    def next_kernel(self) -> Kernel:
        """The kernel's port as a daemon that is started now has it: for looking only."""


class SimulatedMachine(MachineUnderTest):
    """The simulated machine."""

    machine: Machine

    def image_of_files(self) -> ImageId:
        return self._image

    async def until_ready(self, identity: ContainerId) -> None:
        await trio.lowlevel.checkpoint()

    def heard(self, identity: ContainerId, order: int) -> int:
        return self.machine.deliveries[identity, self.container(identity).run, order]

    def pids_max(self, identity: ContainerId) -> int | None:
        return self.machine.place(identity).limits.pids_max

    def interfaces(self, identity: ContainerId) -> int:
        return len(self.machine.place(identity).interfaces)

    def add_foreign_link(self, name: str) -> None:
        self.machine.foreign_links.add(name)

    def links(self) -> set[str]:
        return self.machine.bridges | self.machine.foreign_links

    def occupied_port(self) -> int:
        self.machine.host_ports.add(8080)
        return 8080

    def offered_sandboxes(self) -> int:
        return len(self.machine.loose_sandboxes)

    def probe_runs(self, identity: ContainerId) -> bool:
        return identity in self.machine.probing

    async def break_sandbox(self, identity: ContainerId) -> None:
        await trio.lowlevel.checkpoint()
        self.machine.place(identity).sandboxes.clear()

    def next_kernel(self) -> Kernel:
        return SimulatedKernel(self.machine, CrashPoint(), LogState(self.ledger).running)


class RealMachine(MachineUnderTest):
    """The machine's own kernel."""

    config: Config
    drivers: Drivers
    at_end: ExitStack

    def image_of_files(self) -> ImageId:
        return self.drivers.content.import_tar(io.BytesIO(image_tar()), at_ns=0).id

    async def until_ready(self, identity: ContainerId) -> None:
        process = self.container(identity).process
        assert process is not None
        while not _catches(process.pid, COUNTED):  # noqa: ASYNC110  (nobody tells)
            await trio.sleep(LOOK_S)

    def heard(self, identity: ContainerId, order: int) -> int:
        directory = naming.container_directory(self.config.data_root, identity)
        path = directory / "upper" / HEARD
        return path.read_text().count("\n") if path.exists() else 0

    def pids_max(self, identity: ContainerId) -> int | None:
        mounted = kernel_inventory.hierarchies()
        found = (_cgroup_file(each, self._parent, identity) for each in mounted.values())
        (text,) = (path.read_text().strip() for path in found if path.exists())
        return None if text == "max" else int(text)

    @property
    def _parent(self) -> str:
        return naming.default_cgroup_parent(self.ledger.durable.host.instance)

    def interfaces(self, identity: ContainerId) -> int:
        sandbox = self.container(identity).sandbox
        assert sandbox is not None
        begin = naming.host_veths(self.ledger.durable.host.instance, sandbox)
        return sum(each.startswith(begin) for each in kernel_inventory.links())

    def add_foreign_link(self, name: str) -> None:
        subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
        self.at_end.callback(subprocess.run, ["ip", "link", "delete", name], check=True)

    def links(self) -> set[str]:
        return kernel_inventory.links()

    def occupied_port(self) -> int:
        server = self.at_end.enter_context(socket.create_server(("0.0.0.0", 0)))
        port: int = server.getsockname()[1]
        return port

    def offered_sandboxes(self) -> int:
        return len(self.drivers.kernel.networks.pool.members)

    def probe_runs(self, identity: ContainerId) -> bool:
        """Whether the monitor has another child than the container's first process."""
        monitor = self.container(identity).monitor
        assert monitor is not None
        return len(children(monitor.pid)) > 1

    async def break_sandbox(self, identity: ContainerId) -> None:
        sandbox = self.container(identity).sandbox
        assert sandbox is not None
        link = naming.host_veth(self.ledger.durable.host.instance, sandbox)
        await trio.run_process(["ip", "link", "delete", link])

    def next_kernel(self) -> Kernel:
        return _drivers(self.config, self.ledger).kernel

    def remove_cgroup_parents(self) -> None:
        for mounted in kernel_inventory.hierarchies().values():
            with suppress(FileNotFoundError):
                (mounted / self._parent).rmdir()


def _cgroup_file(mounted: Path, parent: str, identity: ContainerId) -> Path:
    return mounted / parent / identity / "pids.max"


def _catches(pid: int, signal: int) -> bool:
    """Whether a process has a handler for a signal: SigCgt of proc_pid_status(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask, 16) >> (signal - 1) & 1)


# --- The two machines ---


async def _begin(ledger: Ledger) -> None:
    instance = InstanceId(secrets.token_hex(16))
    bridge = NetworkCreated(
        id=NetworkId(secrets.token_hex(32)),
        name="bridge",
        driver="bridge",
        bridge=bridge_name(instance),
        ipv4=Pool(subnet="172.17.0.0/16", gateway="172.17.0.1"),
        options={DEFAULT_BRIDGE_OPTION: "true"},
    )
    none = NetworkCreated(id=NetworkId(secrets.token_hex(32)), name="none", driver="null")
    await ledger.record(
        ORIGIN,
        (HOST, (HostInitialised(instance=instance),)),
        (network_stream(bridge.id), (bridge,)),
        (network_stream(none.id), (none,)),
    )


@asynccontextmanager
async def simulated_machine(place: Path) -> AsyncIterator[MachineUnderTest]:
    """A simulated machine."""
    machine = Machine()
    log = EventLog.open(place / "shipslog.db", threaded=False)
    ledger = Ledger(log, machine.clock)
    await _begin(ledger)
    kernel = SimulatedKernel(machine, CrashPoint(), LogState(ledger).running)
    image = ImageId("sha256:" + "1" * 64)
    tested = SimulatedMachine(ledger, kernel, SimulatedProbes(machine, CrashPoint()), image)
    tested.machine, tested.usage = machine, SimulatedUsage(machine)
    tested.files, tested.streams = FakeFiles(machine), SimulatedStreams(machine)
    async with trio.open_nursery() as nursery:
        machine.nursery = nursery
        yield tested
        nursery.cancel_scope.cancel()
    log.close()


@asynccontextmanager
async def real_machine(place: Path) -> AsyncIterator[MachineUnderTest]:
    """The drivers as a daemon makes them, on a data root of their own."""
    config = Config(data_root=place / "data", exec_root=place / "exec")
    config.data_root.mkdir()
    config.exec_root.mkdir(mode=0o711)
    ledger = Ledger(EventLog.open(naming.database(config.data_root)), KernelClock())
    await _begin(ledger)
    drivers = _drivers(config, ledger)
    image = drivers.content.import_tar(io.BytesIO(_busybox()), at_ns=0).id
    machine = RealMachine(ledger, drivers.kernel, make_probes(drivers), image)
    machine.config, machine.drivers = config, drivers
    machine.usage = LinuxUsage(drivers.cgroups, drivers.lanes)
    machine.files, machine.streams = make_files(config, drivers), make_streams(config, drivers)
    machine.at_end = ExitStack()
    try:
        async with _background(drivers):
            try:
                yield machine
            finally:
                with trio.move_on_after(patient(PATIENCE_S), shield=True):
                    await _take_everything_away(machine, drivers)
    finally:
        machine.at_end.close()
        machine.remove_cgroup_parents()
        ledger.log.close()


def _drivers(config: Config, ledger: Ledger) -> Drivers:
    return make_drivers(config, LogState(ledger), resource.getrlimit(resource.RLIMIT_NOFILE))


@cache
def _busybox() -> bytes:
    return busybox_tar()


@asynccontextmanager
async def _background(drivers: Drivers) -> AsyncIterator[None]:
    kernel = drivers.kernel
    drivers.monitors.follow(kernel.hint)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drivers.monitors.run)
        await nursery.start(kernel.networks.names.run)
        await kernel.networks.set_all_names(())
        nursery.start_soon(kernel.networks.pool.run)
        nursery.start_soon(kernel.trash.run)
        try:
            yield
        finally:
            if (resolver := kernel.networks.names.pid) is not None:
                os.kill(resolver, SIGKILL)  # it would outlive us, as it outlives daemons
            nursery.cancel_scope.cancel()
            kernel.connections.close()
            drivers.launcher.close()
            kernel.close()
            kernel.networks.driver.close()
            kernel.networks.firewall.close()


async def _take_everything_away(machine: MachineUnderTest, drivers: Drivers) -> None:
    kernel = drivers.kernel
    for container in machine.ledger.durable.containers.values():
        with suppress(EngineError):
            await kernel.perform(container, do.KillEverything())
        if container.sandbox is not None:
            await kernel.perform(container, do.RemoveSandbox(container.sandbox))
        for action in (do.RemoveCgroup(), do.RemoveDirectory()):
            await kernel.perform(container, action)
    await kernel.networks.pool.empty()
    for network in machine.ledger.durable.networks_with_links():
        await kernel.networks.remove(network)


_KINDS: Final[dict[str, tuple[Any, Any]]] = {
    "simulated": (simulated_machine, partial(trio.testing.MockClock, autojump_threshold=0)),
    "real": (real_machine, None),
}


# --- Tests ---

KernelTest = Callable[[MachineUnderTest], Awaitable[None]]


def on_each_kernel(test: KernelTest) -> Callable[[str, Path, pytest.FixtureRequest], None]:
    """Run a test once with each kernel."""

    @pytest.mark.parametrize("kind", ["simulated", pytest.param("real", marks=pytest.mark.root)])
    def run(kind: str, place: Path, request: pytest.FixtureRequest) -> None:
        if kind == "real":
            request.getfixturevalue("throwaway_namespaces")
        make, clock = _KINDS[kind]
        try:
            trio.run(_run, make, test, place, clock=clock() if clock else None)
        except BaseExceptionGroup as group:
            raise innermost(group) from None

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run


async def _run(make: Any, test: KernelTest, place: Path) -> None:
    async with make(place) as machine:
        with trio.fail_after(patient(PATIENCE_S)):
            await test(machine)
