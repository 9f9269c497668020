"""Simulate a machine: what survives the daemon, and dies only with the machine's power.

It has the kernel objects and the monitors of containers, and counts what must not happen twice. A
:class:`CrashPoint` stands for SIGKILL: the daemon dies at the n-th step that it takes, before or
after an effect.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_network
from signal import Signals

import trio

from engine.domain.container.events import ProcessIdentity
from engine.domain.container.resources import Resources
from engine.domain.container.state import Container
from engine.domain.exec.state import Exec
from engine.domain.ids import ContainerId, ExecId, NetworkId, SandboxId
from engine.domain.network.addresses import Subnet
from engine.domain.network.state import Network
from engine.errors import Conflict, DriverError
from engine.ports.observation import (
    ExecProcessExited,
    ExecProcessStarted,
    Fact,
    MonitorBegan,
    ProcessExited,
    ProcessNotStarted,
    ProcessStarted,
)
from engine.ports.probes import ProbeAnswer
from engine.runtime.facts import Stamp

SECOND_NS = 1_000_000_000

EPOCH_NS = 1_760_000_000 * SECOND_NS


class Killed(BaseException):
    """SIGKILL: it is not caught, and nothing is cleaned up."""


@dataclass
class CrashPoint:
    """Kill the daemon at the ``at_step``-th step; None never does."""

    at_step: int | None = None
    steps: int = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.at_step:
            raise Killed


class VirtualClock:
    """The two clocks, on trio's virtual time."""

    def wall_ns(self) -> int:
        return EPOCH_NS + self.boot_ns()

    def boot_ns(self) -> int:
        return round(trio.current_time() * SECOND_NS)


@dataclass
class Process:
    identity: ProcessIdentity
    obeys: frozenset[int]
    lasts_s: float | None
    alive: bool = True


@dataclass
class Place:
    """Everything of one container that is not in the log."""

    monitor: ProcessIdentity | None = None
    process: Process | None = None
    journals: dict[int, list[Fact]] = field(default_factory=dict)
    written: Counter[int] = field(default_factory=Counter)
    """How many facts each run's journal has had; it forgets those that were taken over at once."""
    sandboxes: set[SandboxId] = field(default_factory=set)
    interfaces: frozenset[NetworkId] = frozenset()
    cgroup: bool = False
    limits: Resources = field(default_factory=Resources)
    frozen: bool = False
    bundle: bool = False
    directory: bool = False
    files: bool = False
    ports: bool = False
    orders: set[int] = field(default_factory=set)
    execs: set[ExecId] = field(default_factory=set)

    @property
    def is_empty(self) -> bool:
        return self == Place(
            journals=self.journals, written=self.written, orders=self.orders, execs=self.execs
        )


class Machine:
    """The machine. Containers behave as the labels of their specs say.

    ``obeys`` (signal names, default all that end a process), ``lasts_s`` (then it exits by itself),
    ``code`` (its exit code), ``missing`` (the program does not exist).
    """

    def __init__(self) -> None:
        self.places: dict[ContainerId, Place] = {}
        self.loose_sandboxes: set[SandboxId] = set()
        self.bridges: set[str] = set()
        self.subnets: dict[str, tuple[Subnet, ...]] = {}
        """The subnets that the host has addresses in, by bridge."""
        self.foreign_links: set[str] = set()
        """Links that other programs have made."""
        self.host_ports: set[int] = set()
        """TCP ports that processes of the host use."""
        self.boots = 1
        self.pids = 100
        self.launches: Counter[tuple[ContainerId, int]] = Counter()
        self.deliveries: Counter[tuple[ContainerId, int, int]] = Counter()
        self.exec_starts: Counter[ExecId] = Counter()
        self.exits: dict[tuple[ContainerId, int], int] = {}
        self.probing: set[ContainerId] = set()
        """Containers in which a probe runs at this moment."""
        self.wake: Callable[[str], None] = lambda _container: None
        self.launched: Callable[[Container], None] = lambda _container: None
        self.not_launched: Callable[[ContainerId], None] = lambda _container: None
        self.ended: Callable[[ContainerId], None] = lambda _container: None
        """What a process's streams hear, and those who wait for them."""
        self.executed: Callable[[Exec], None] = lambda _execution: None
        self.nursery: trio.Nursery | None = None
        self.clock = VirtualClock()

    @property
    def boot_id(self) -> str:
        return f"boot-{self.boots}"

    def place(self, container: ContainerId) -> Place:
        return self.places.setdefault(container, Place())

    def identity(self) -> ProcessIdentity:
        self.pids += 1
        return ProcessIdentity(pid=self.pids, start_ticks=self.pids * 7, boot_id=self.boot_id)

    def reboot(self) -> None:
        """Turn the power off and on; the disk keeps its content."""
        self.boots += 1
        self.bridges.clear()
        self.subnets.clear()
        for container, place in self.places.items():
            if place.process is not None:
                place.process.alive = False
                self.ended(container)
            place.monitor, place.process = None, None
            place.sandboxes, place.interfaces = set(), frozenset()
            place.cgroup = place.bundle = False
            place.frozen = place.ports = False
            place.limits = Resources()

    def add_bridge(self, network: Network) -> None:
        if network.bridge in self.foreign_links:
            raise Conflict(f"link {network.bridge} exists and is not ours")
        self.bridges.add(network.bridge)
        pools = (pool for pool in (network.ipv4, network.ipv6) if pool is not None)
        self.subnets[network.bridge] = tuple(ip_network(pool.subnet) for pool in pools)

    def remove_bridge(self, name: str) -> None:
        self.bridges.discard(name)
        self.subnets.pop(name, None)

    def remove_sandbox(self, sandbox: SandboxId) -> None:
        self.loose_sandboxes.discard(sandbox)
        for place in self.places.values():
            place.sandboxes.discard(sandbox)

    def kill_monitor(self, container: ContainerId) -> None:
        """Send SIGKILL to the monitor; its children die with it."""
        place = self.place(container)
        place.monitor = None
        if place.process is not None:
            place.process.alive = False
        self.ended(container)
        self.wake(container)

    def journal(self, container: Container) -> list[Fact]:
        return self.place(container.id).journals.setdefault(container.run, [])

    def write(self, container: Container, fact: Fact) -> None:
        journal, written = self.journal(container), self.place(container.id).written
        written[container.run] += 1
        stamp = Stamp(written[container.run], self.clock.wall_ns(), self.clock.boot_ns())
        journal.append(fact._replace(stamp=stamp))
        self.wake(container.id)

    def launch(self, container: Container) -> None:
        place = self.place(container.id)
        if place.monitor is not None:  # the monitor holds the lock
            return
        assert place.bundle, "a launch needs its bundle"
        assert place.cgroup, "a launch needs its cgroup"
        assert container.sandbox is None or container.sandbox in place.sandboxes, (
            "needs its sandbox"
        )
        assert place.process is None or not place.process.alive
        self.launches[container.id, container.run] += 1
        place.monitor = self.identity()
        place.orders.clear()
        self.write(container, MonitorBegan(*_named(place.monitor)))
        if "missing" in container.spec.labels:
            text = 'exec: "nope": executable file not found in $PATH'
            self.write(container, ProcessNotStarted("execve", 2, text, 127))
            place.monitor = None
            self.not_launched(container.id)
            return
        place.process = self.born(container)
        self.write(container, ProcessStarted(*_named(place.process.identity)))
        self.launched(container)
        if place.process.lasts_s is not None:
            assert self.nursery is not None
            self.nursery.start_soon(self.live, container, place.process)

    def born(self, container: Container) -> Process:
        labels = container.spec.labels
        names = labels.get("obeys", "SIGTERM,SIGINT,SIGHUP").split(",")
        lasts = labels.get("lasts_s")
        return Process(
            identity=self.identity(),
            obeys=frozenset(
                {*(int(Signals[name]) for name in names if name), int(Signals.SIGKILL)}
            ),
            lasts_s=None if lasts is None else float(lasts),
        )

    async def live(self, container: Container, process: Process) -> None:
        assert process.lasts_s is not None
        await trio.sleep(process.lasts_s)
        if process.alive:
            self.end(container, int(container.spec.labels.get("code", "0")), None)

    def end(self, container: Container, code: int, signal: int | None) -> None:
        place = self.place(container.id)
        assert place.process is not None
        place.process.alive = False
        place.execs.clear()
        if place.monitor is not None:
            self.exits[container.id, container.run] = code
            self.write(container, ProcessExited(code, signal, oom=False))
        place.monitor = None
        place.frozen = False
        self.ended(container.id)
        self.wake(container.id)

    def deliver(self, container: Container, order: int, signal: int) -> None:
        place = self.place(container.id)
        if order in place.orders or place.process is None or not place.process.alive:
            return
        place.orders.add(order)
        self.deliveries[container.id, container.run, order] += 1
        if signal in place.process.obeys:
            fatal = (
                signal == Signals.SIGKILL
            )  # any other signal is handled by the program: a first process is immune
            self.end(container, 128 + signal, signal if fatal else None)

    def start_exec(self, container: Container, execution: Exec) -> None:
        place = self.place(container.id)
        if place.monitor is None:
            raise DriverError(f"container {container.id}: its monitor is gone")
        if execution.id in place.execs:
            return
        place.execs.add(execution.id)
        self.exec_starts[execution.id] += 1
        self.write(container, ExecProcessStarted(execution.id, *_named(self.identity())))
        self.executed(execution)
        self.write(container, ExecProcessExited(execution.id, 3))

    async def probe(self, container: Container, timeout_s: float) -> ProbeAnswer | None:
        """Run a check's command, as labels say: it is healthy from ``healthy_after_s`` to
        ``unhealthy_after_s`` after the start, takes ``probe_s``, or does not exist
        (``probe_missing``).
        """
        labels, process = container.spec.labels, self.place(container.id).process
        if process is None or not process.alive:
            return None
        if "probe_missing" in labels:
            raise DriverError(
                "OCI runtime exec failed: exec failed: unable to start container process: "
                'exec: "nope": executable file not found in $PATH: unknown'
            )
        if container.id in self.probing:
            raise DriverError("the last probe has not ended")
        self.probing.add(container.id)
        try:
            with trio.move_on_after(timeout_s) as patience:
                await trio.sleep(float(labels.get("probe_s", "0.01")))
        finally:
            self.probing.discard(container.id)
        if patience.cancelled_caught:
            return ProbeAnswer(exit_code=None)
        if not process.alive:
            return None
        age_s = (self.clock.boot_ns() - container.started_boot_ns) / SECOND_NS
        well = age_s >= float(labels.get("healthy_after_s", "0"))
        ill = age_s >= float(labels.get("unhealthy_after_s", "inf"))
        return ProbeAnswer(exit_code=0 if well and not ill else 1, output=f"{age_s:.0f} s")


def _named(process: ProcessIdentity) -> tuple[int, int, str]:
    return process.pid, process.start_ticks, process.boot_id
