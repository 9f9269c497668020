"""Answer the ports for the kernel and for probes from a simulated machine, as the contract
requires of drivers.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from signal import Signals

import trio

from engine.domain.container.attachment import Endpoint
from engine.domain.container.phases import Phase
from engine.domain.container.resources import Resources
from engine.domain.container.spec import PortBinding
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, NetworkId, SandboxId
from engine.domain.network.addresses import Subnet
from engine.domain.network.state import Network
from engine.errors import DriverError, EngineError
from engine.ports.actions import (
    Action,
    ApplyLimits,
    Connect,
    Disconnect,
    Freeze,
    KillEverything,
    Launch,
    PrepareCgroup,
    PrepareRun,
    PrepareSandbox,
    PublishPorts,
    RemoveBundle,
    RemoveCgroup,
    RemoveDirectory,
    RemoveSandbox,
    Signal,
    StartExec,
    Thaw,
    UnpublishPorts,
    UpdateFiles,
)
from engine.ports.observation import (
    Fact,
    Inventory,
    MonitorBegan,
    Observation,
    Presence,
    ProcessStarted,
)
from engine.ports.probes import ProbeAnswer
from tests.model.simulated_machine import CrashPoint, Machine, Place


class SimulatedKernel:
    """The supervisor's port on a simulated machine."""

    def __init__(
        self,
        machine: Machine,
        crash: CrashPoint,
        running: Callable[[], Collection[Container]] = tuple,
    ) -> None:
        """Serve a machine; ``running`` returns the containers that run according to the log."""
        self._machine = machine
        self._crash = crash
        self._running = running
        self._prepared: dict[Endpoint, SandboxId] = {}
        self._seen: tuple[Inventory, frozenset[ContainerId]] | None = None
        """What there was when the kernel was last asked whether anything has changed."""
        self.inventories = 0
        """How often everything was listed."""
        self.refusals: dict[type[Action], str] = {}
        self.refused: Counter[type[Action]] = Counter()
        self.hanging: set[type[Action]] = set()
        """Actions that never end."""

    @property
    def boot_id(self) -> str:
        return self._machine.boot_id

    async def observe(self, container: Container, facts_after: int) -> Observation:
        await trio.lowlevel.checkpoint()
        self._crash.step()
        return self.look(container, facts_after)

    def look(self, container: Container, facts_after: int) -> Observation:
        """Observe a container; without trio."""
        place = self._machine.place(container.id)
        facts = place.journals.setdefault(container.run, [])
        facts[:] = [each for each in facts if each.stamp.number > facts_after or _is_of_birth(each)]
        return Observation(
            boot_id=self.boot_id,
            monitor_alive=place.monitor is not None,
            process_alive=place.process is not None and place.process.alive,
            facts=tuple(each for each in facts if each.stamp.number > facts_after),
            sandbox=_presence(container.sandbox in place.sandboxes),
            cgroup=_presence(place.cgroup),
            frozen=place.frozen and (container.phase is Phase.PAUSED or bool(container.orders)),
            bundle=_presence(place.bundle),
            directory=_presence(place.directory),
            files=_presence(place.files and container.is_running),
        )

    async def perform(self, container: Container, action: Action) -> tuple[Fact, ...]:
        self._crash.step()
        if reason := self.refusals.get(type(action)):
            self.refused[type(action)] += 1
            raise DriverError(reason)
        if type(action) in self.hanging:
            await trio.sleep_forever()
        self.effect(container, action)
        self._crash.step()
        await trio.lowlevel.checkpoint()
        waits = isinstance(action, Launch | StartExec)
        journals = self._machine.place(container.id).journals
        return tuple(journals.get(container.run, ())) if waits else ()

    def effect(self, container: Container, action: Action) -> None:
        """Perform an action; without trio."""
        machine, place = self._machine, self._machine.place(container.id)
        match action:
            case PrepareSandbox():
                assert container.sandbox is not None
                place.sandboxes.add(container.sandbox)
                place.interfaces = _interfaces(container)
                machine.loose_sandboxes.discard(container.sandbox)
            case PrepareCgroup():
                place.cgroup = True
                place.limits = container.spec.resources
            case ApplyLimits(resources=resources):
                if not place.cgroup:
                    raise DriverError(f"cgroup {container.id} is not there")
                place.limits = resources
            case Connect() | Disconnect():
                place.interfaces = _interfaces(container)
            case PrepareRun():
                place.cgroup, place.limits = True, container.spec.resources
                place.bundle = place.directory = place.files = True
            case UpdateFiles():
                place.files = True
            case PublishPorts():
                place.ports = True
            case Launch():
                machine.launch(container)
            case StartExec(execution=execution):
                machine.start_exec(container, execution)
            case Signal(order=order, signal=signal):
                machine.deliver(container, order, signal)
            case Freeze():
                place.frozen = True
            case Thaw():
                place.frozen = False
            case KillEverything():
                if place.process is not None and place.process.alive:
                    machine.end(container, 137, int(Signals.SIGKILL))
                place.monitor = None
            case UnpublishPorts():
                place.ports = False
            case RemoveSandbox(sandbox=sandbox):
                assert place.process is None or not place.process.alive
                place.sandboxes.discard(sandbox)
                if not place.sandboxes:
                    place.interfaces = frozenset()
            case RemoveCgroup():
                assert place.process is None or not place.process.alive
                place.cgroup, place.limits = False, Resources()
                place.frozen = False
            case RemoveBundle():
                place.bundle = False
            case RemoveDirectory():
                place.bundle = place.directory = place.files = False
                place.process = None

    async def may_have_changed(self) -> bool:
        await trio.lowlevel.checkpoint()
        places = self._machine.places.items()
        published = frozenset(identity for identity, place in places if place.ports)
        before, self._seen = self._seen, (self._inventory(), published)
        return before != self._seen

    async def inventory(self) -> Inventory:
        await trio.lowlevel.checkpoint()
        self.inventories += 1
        return self._inventory()

    def _inventory(self) -> Inventory:
        places = self._machine.places.items()
        running = tuple((each, self._machine.place(each.id)) for each in self._running())
        pinned = {sandbox for _, place in places for sandbox in place.sandboxes}
        return Inventory(
            damaged_cgroups=frozenset(
                each.id for each, place in running if not _is_right(each, place)
            ),
            damaged_sandboxes=frozenset(
                each.sandbox
                for each, place in running
                if each.sandbox is not None and each.sandbox not in place.sandboxes
            ),
            bridges=frozenset(self._machine.bridges),
            bundles=frozenset(identity for identity, place in places if place.bundle),
            cgroups=frozenset(identity for identity, place in places if place.cgroup),
            directories=frozenset(identity for identity, place in places if place.directory),
            missing_files=frozenset(each.id for each, place in running if not place.files),
            sandboxes=frozenset(
                pinned | self._machine.loose_sandboxes - set(self._prepared.values())
            ),
        )

    async def discard(self, kind: str, name: str) -> None:
        await trio.lowlevel.checkpoint()
        self._crash.step()
        place = self._machine.places.get(ContainerId(name), Place())
        match kind:
            case "bundle":
                if place.monitor is not None:
                    raise DriverError(
                        f"bundle {name} belongs to no container, and a monitor has it"
                    )
                place.bundle = False
            case "cgroup":
                if place.process is not None and place.process.alive:
                    raise DriverError(
                        f"cgroup {name} belongs to no container, and processes run in it"
                    )
                place.cgroup = False
            case "bridge":
                self._machine.remove_bridge(name)
            case "sandbox":
                self._machine.remove_sandbox(SandboxId(name))
            case _:
                raise DriverError(f"{kind} {name} belongs to no container in the log")
        self._crash.step()

    @property
    def networks(self) -> "SimulatedKernel":
        return self

    async def wrong(
        self, networks: Sequence[Network], containers: Collection[Container]
    ) -> tuple[tuple[NetworkId, str], ...]:
        await trio.lowlevel.checkpoint()
        wrong = [
            (each.id, "bridge") for each in networks if each.bridge not in self._machine.bridges
        ]
        published = (self._machine.place(each.id).ports for each in containers)
        if networks and not all(published):
            wrong.append((networks[0].id, "firewall"))
        return tuple(wrong)

    async def repair(self, networks: Sequence[Network], containers: Collection[Container]) -> None:
        await trio.lowlevel.checkpoint()
        for network in networks:
            self._machine.add_bridge(network)
        for container in containers:
            self._machine.place(container.id).ports = True

    async def taken_subnets(self) -> Sequence[Subnet]:
        await trio.lowlevel.checkpoint()
        return [each for subnets in self._machine.subnets.values() for each in subnets]

    async def make(self, network: Network) -> None:
        self._crash.step()
        self._machine.add_bridge(network)
        self._crash.step()
        await trio.lowlevel.checkpoint()

    async def remove(self, network: Network) -> None:
        self._crash.step()
        for place in self._machine.places.values():
            alive = place.process is not None and place.process.alive
            assert not alive or network.id not in place.interfaces
        self._machine.remove_bridge(network.bridge)
        self._crash.step()
        await trio.lowlevel.checkpoint()

    def take_sandbox(self, endpoint: Endpoint) -> SandboxId | None:
        return self._prepared.pop(endpoint, None)

    def offer_endpoints(self, network: Network, endpoints: Sequence[Endpoint]) -> None:
        for endpoint in endpoints:
            if endpoint not in self._prepared:
                self._machine.pids += 1
                sandbox = SandboxId(f"{self._machine.pids:016x}")
                self._prepared[endpoint] = sandbox
                self._machine.loose_sandboxes.add(sandbox)

    def update_names(self, container: Container) -> None:
        return

    def check_host_port(self, binding: PortBinding) -> None:
        if binding.host_port in self._machine.host_ports:
            raise EngineError(f"failed to bind host port {binding.host_port}: address in use")


def _is_right(container: Container, place: Place) -> bool:
    """True if the process is in its cgroup, and frozen if it should be."""
    lives = place.process is not None and place.process.alive
    return place.cgroup and lives and (place.frozen or container.phase is not Phase.PAUSED)


def _interfaces(container: Container) -> frozenset[NetworkId]:
    return frozenset(each.network for each in container.desired_endpoints)


class SimulatedProbes:
    """The port for probes on a simulated machine."""

    def __init__(self, machine: Machine, crash: CrashPoint) -> None:
        self._machine = machine
        self._crash = crash

    async def probe(
        self,
        container: Container,
        arguments: tuple[str, ...],
        timeout_s: float,
    ) -> ProbeAnswer | None:
        self._crash.step()
        answer = await self._machine.probe(container, timeout_s)
        self._crash.step()
        return answer


def _is_of_birth(fact: Fact) -> bool:
    return isinstance(fact, MonitorBegan | ProcessStarted)


def _presence(there: bool) -> Presence:
    return Presence.RIGHT if there else Presence.ABSENT
