"""LinuxKernel: the supervisor's port, answered by the drivers together.

    observe   no hop: journal, lock, /proc, cgroup and directory entries are in the kernel's memory and wait for nobody, so that
              going to a thread and back would take several times as long
    perform   one hop an action; a launch also waits for the journal's first word, which it reads where it waits: the few bytes
              have just been written and are in memory
    inventory two hops, whatever there is: a few listings, one dump of links

Whether a sandbox is as it should be takes a look inside; that is done by the sweep, for all together, and after a hint from
the kernel. Between two sweeps a sandbox is what the last look found.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import Final

import structlog
import trio
from msgspec.structs import replace as replace_fields

from engine.domain import naming
from engine.domain.container import Container
from engine.domain.container_events import ProcessIdentity
from engine.domain.ids import ContainerId, ExecId, SandboxId
from engine.domain.namespace_sharing import check_joinable, joined_namespaces
from engine.domain.oci import exec_process
from engine.domain.phases import Phase
from engine.domain.resources import BlockLimits, Resources
from engine.drivers.cgroups.parents import Cgroups
from engine.drivers.filesystems.trash import Trash
from engine.drivers.filesystems.uppers import Uppers
from engine.drivers.lanes import Lane, Lanes
from engine.drivers.networks.linux import LinuxNetworks
from engine.drivers.runs import process
from engine.drivers.runs.bundle_maker import BundleMaker
from engine.drivers.runs.connections import Connections
from engine.drivers.runs.device_mappings import mapped_rules
from engine.drivers.runs.joined_namespaces import NamespaceOwners
from engine.drivers.runs.journal import JournalReader, fact
from engine.drivers.runs.monitors import Monitors
from engine.errors import Conflict, DriverError
from engine.runtime.messages import ExecOrder
from engine.supervisor import actions as do
from engine.supervisor.actions import Action
from engine.supervisor.conclude import monitor_of
from engine.supervisor.observation import (
    ExecProcessExited,
    ExecProcessNotStarted,
    ExecProcessStarted,
    Fact,
    Inventory,
    Observation,
    Presence,
    ProcessExited,
    ProcessNotStarted,
    ProcessStarted,
)

JOURNAL_BYTES_MAX: Final = 64 << 10
"""How long a journal may become before what has been taken over of it is forgotten: some 200 execs."""
START_TIMEOUT_S: Final = 60.0
"""How long a container's first process may take to execute its program; a bind mount of a dead server can hold it."""
EXEC_START_TIMEOUT_S: Final = 5.0
"""How long other effects on a container wait for an exec to begin."""
LOOK_AGAIN_S: Final = 0.1
"""How long a wait for a monitor relies on hints alone."""
MONITOR_END_TIMEOUT_S: Final = 2.0
"""How long a monitor whose container was killed may take to write that down, before it is killed, too."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Journal:
    """A run's journal, each byte read once; what was read and not yet concluded from is kept."""

    run: int
    reader: JournalReader
    facts: list[Fact] = field(default_factory=list)
    bytes_max: int = JOURNAL_BYTES_MAX

    def after(self, number: int) -> tuple[Fact, ...]:
        self.facts = [known for known in self.facts if known.number > number]
        self.facts.extend(map(fact, self.reader.read()))
        return tuple(self.facts)

    def has_grown_long(self) -> bool:
        """Whether it is time to have it shortened; said once for each so many bytes, whatever comes of it."""
        if self.reader.offset < JOURNAL_BYTES_MAX:
            self.bytes_max = JOURNAL_BYTES_MAX
        if self.reader.offset < self.bytes_max:
            return False
        self.bytes_max = self.reader.offset + JOURNAL_BYTES_MAX
        return True


@dataclass(slots=True, kw_only=True)
class LinuxKernel:
    """The machine's own kernel, as the port describes it."""

    data_root: Path
    exec_root: Path
    lanes: Lanes
    cgroups: Cgroups
    networks: LinuxNetworks
    monitors: Monitors
    connections: Connections
    bundles: BundleMaker
    trash: Trash
    running: Callable[[], Collection[Container]]
    """Containers that run."""
    boot_id: str = field(default_factory=process.boot_id)
    uppers: Uppers = field(default_factory=Uppers)
    _journals: dict[ContainerId, _Journal] = field(default_factory=dict)
    _hinted: dict[ContainerId, trio.Event] = field(default_factory=dict)

    def hint(self, container: ContainerId) -> None:
        """Its journal has grown, or its monitor is gone: let whoever waits for that look."""
        if (event := self._hinted.pop(container, None)) is not None:
            event.set()

    # --- Observing ------------------------------------------------------------------------------------------------------

    async def observe(self, container: Container, facts_after: int) -> Observation:
        """One container."""
        await trio.lowlevel.checkpoint()
        identity = container.id
        bundle = naming.bundle_directory(self.exec_root, identity)
        # Before the journal: a dead monitor writes no more.
        monitor_alive = process.monitor_alive(bundle)
        journal = self._journal(container)
        facts = journal.after(facts_after)
        if facts_after and journal.has_grown_long():  # what is not asked for is in the log
            self.monitors.forget_facts(identity, facts_after)
        init = container.process or _process_in(facts)
        cgroups = self.cgroups.of(container)
        frozen = container.phase is Phase.PAUSED or bool(container.orders)
        return Observation(
            boot_id=self.boot_id,
            monitor_alive=monitor_alive,
            process_alive=init is not None and process.process_alive(init),
            facts=facts,
            sandbox=self._sandbox_presence(container),
            cgroup=cgroups.check(identity, init.pid if init and container.process else None),
            frozen=frozen and cgroups.is_frozen(identity),
            bundle=_presence(bundle.exists()),
            directory=_presence(naming.container_directory(self.data_root, identity).exists()),
            files=self._files_presence(container),
        )

    def _journal(self, container: Container) -> _Journal:
        journal = self._journals.get(container.id)
        if journal is None or journal.run != container.run:
            path = naming.journal_path(self.data_root, container.id, container.run)
            journal = self._journals[container.id] = _Journal(container.run, JournalReader(path))
        return journal

    def _sandbox_presence(self, container: Container) -> Presence:
        sandbox = container.sandbox
        if sandbox is None:
            return Presence.ABSENT
        if container.phase is Phase.STARTING:
            return _presence(self.networks.is_prepared(sandbox))
        if container.is_running:
            return Presence.DAMAGED if self.networks.is_damaged(sandbox) else Presence.RIGHT
        return _presence(self.networks.is_pinned(sandbox))

    def _files_presence(self, container: Container) -> Presence:
        return self.bundles.files.presence(container) if container.is_running else Presence.ABSENT

    # --- Performing -----------------------------------------------------------------------------------------------------

    async def perform(self, container: Container, action: Action) -> tuple[Fact, ...]:
        """Do it; of a launch and of an exec come the facts that ended the wait."""
        match action:
            case do.Launch():
                async with self.uppers.alone(container.id):
                    return await self._launch(container)
            case do.StartExec():
                return await self._start_exec(container, action)
            case _:
                await self._make(container, action)
                return ()

    async def _make(self, container: Container, action: Action) -> None:
        match action:
            case do.PrepareSandbox():
                await self.networks.prepare_sandbox(container)
            case do.PrepareCgroup():
                await self.lanes.run(Lane.KERNEL, partial(self._prepare_cgroup, container))
            case do.PrepareBundle():
                await self.lanes.run(Lane.KERNEL, partial(self.bundles.make, container))
            case do.UpdateFiles():
                await self.lanes.run(Lane.KERNEL, partial(self.bundles.files.update, container))
            case do.PublishPorts():
                await self.networks.publish(container)
            case do.Connect() | do.Disconnect():
                await self._rewire(container)
            case do.Signal(order=order, signal=number):
                await self._signal(container, order, number)
            case do.Freeze():
                await self.lanes.run(
                    Lane.KERNEL, partial(self.cgroups.of(container).freeze, container.id)
                )
            case do.Thaw():
                await self.lanes.run(
                    Lane.KERNEL, partial(self.cgroups.of(container).thaw, container.id)
                )
            case do.ApplyLimits(resources=limits):
                await self.lanes.run(Lane.KERNEL, partial(self._apply_limits, container, limits))
            case do.KillEverything():
                await self._kill_everything(container)
            case _:
                await self._unmake(container, action)

    async def _unmake(self, container: Container, action: Action) -> None:
        match action:
            case do.UnpublishPorts():
                await self.networks.unpublish(container)
            case do.RemoveSandbox(sandbox=sandbox):
                await self.networks.remove_sandbox(sandbox)
            case do.RemoveCgroup():
                await self.lanes.run(
                    Lane.KERNEL, partial(self.cgroups.of(container).remove, container.id)
                )
            case do.RemoveBundle():
                self.monitors.forget(container.id)
                await self.lanes.run(
                    Lane.KERNEL, partial(self.bundles.bundles.remove, container.id)
                )
            case do.RemoveDirectory():
                self._journals.pop(container.id, None)
                self._hinted.pop(container.id, None)
                async with self.uppers.alone(container.id):
                    await self._remove_directory(container)
            case _:
                raise AssertionError(action)

    async def _remove_directory(self, container: Container) -> None:
        set_aside = partial(self.bundles.rootfs.set_aside, container.id)
        if (grave := await self.lanes.run(Lane.DISK, set_aside)) is not None:
            self.trash.add(grave)
        self.connections.forget(container.id)

    async def _rewire(self, container: Container) -> None:
        await self.networks.rewire(container)
        await self.lanes.run(Lane.KERNEL, partial(self.bundles.files.update, container))

    def _prepare_cgroup(self, container: Container) -> None:
        cgroups, limits = self.cgroups.of(container), container.spec.resources
        devices = mapped_rules(limits.devices)
        cgroups.prepare(
            container.id,
            replace_fields(limits, device_rules=(*devices, *limits.device_rules)),
            all_devices=container.spec.privileged,
        )
        if container.process is not None:
            cgroups.adopt(container.id, container.process.pid)

    def _apply_limits(self, container: Container, limits: Resources) -> None:
        """Those of block devices never change, and their nodes may be gone."""
        cgroups = self.cgroups.of(container)
        try:
            cgroups.update(container.id, replace_fields(limits, block=BlockLimits()))
        except DriverError:
            before = replace_fields(container.spec.resources, block=BlockLimits())
            with suppress(DriverError):  # the first refusal is what counts
                cgroups.update(container.id, before, whole=True)
            raise

    async def _launch(self, container: Container) -> tuple[Fact, ...]:
        with self.connections.attaching(container.id) as clients:
            await self.monitors.launch(container.id, clients, self._namespace_owners(container))
        with trio.move_on_after(START_TIMEOUT_S):
            return await self._until(
                container, lambda facts: any(isinstance(each, _STARTED) for each in facts)
            )
        await self._kill_everything(container)
        raise DriverError(f"container {container.id} did not start within {START_TIMEOUT_S:.0f} s")

    def _namespace_owners(self, container: Container) -> NamespaceOwners:
        """Whose namespaces it joins; each owner was running when the start was decided."""
        wanted = tuple(joined_namespaces(container.spec))
        running = {each.id: each for each in self.running()} if wanted else {}
        try:
            for kind, owner in wanted:
                check_joinable(kind, owner, running.get(owner))
        except Conflict as conflict:  # it has ended since
            raise DriverError(str(conflict)) from conflict
        return tuple((kind, running[owner]) for kind, owner in wanted)

    async def _until(
        self, container: Container, happened: Callable[[tuple[Fact, ...]], bool]
    ) -> tuple[Fact, ...]:
        """Wait for a word in the journal, or for the end of the monitor; the facts as they are then.

        The end of a monitor that was killed is hinted at when its connection closes, and it may hold its lock for some
        milliseconds more, so a hint can come too early to be of use.
        """
        bundle = naming.bundle_directory(self.exec_root, container.id)
        while True:
            hinted = self._hinted.setdefault(container.id, trio.Event())
            alive = process.monitor_alive(bundle)  # before the journal, as in observe()
            facts = self._journal(container).after(0)
            if happened(facts) or not alive:
                return facts
            with trio.move_on_after(LOOK_AGAIN_S):
                await hinted.wait()

    async def _start_exec(self, container: Container, action: do.StartExec) -> tuple[Fact, ...]:
        execution = action.execution
        program = await self.lanes.run(
            Lane.KERNEL,
            partial(self.bundles.seccomp_program, container, privileged=execution.spec.privileged),
        )
        with self.connections.executing(execution.id, tty=execution.spec.tty) as (wishes, client):
            order = ExecOrder(
                exec_id=execution.id,
                process=exec_process(container, execution.spec, self.bundles.linked_env(container)),  # type: ignore[arg-type]  # JSON on its way out
                tty=execution.spec.tty,
                streams=wishes,
                seccomp_path=str(program) if program else None,
            )
            await self.monitors.start_exec(container.id, order, client)
        with trio.move_on_after(EXEC_START_TIMEOUT_S):
            return await self._until(
                container, lambda facts: any(_is_about(each, execution.id) for each in facts)
            )
        return ()

    async def _signal(self, container: Container, order: int, number: int) -> None:
        assert container.process is not None
        if number == SIGKILL:  # done twice it does nothing more, and it must not depend on anybody
            await self.lanes.run(
                Lane.KERNEL, partial(process.signal_process, container.process, number)
            )
        else:
            await self.monitors.signal(container.id, order, number)

    async def _kill_everything(self, container: Container) -> None:
        await self.lanes.run(Lane.KERNEL, partial(self._kill_processes, container))
        with trio.move_on_after(MONITOR_END_TIMEOUT_S) as waited:
            await self._until(container, lambda _facts: False)
        if waited.cancelled_caught and (monitor := self._monitor(container)) is not None:
            await self.lanes.run(Lane.KERNEL, partial(process.signal_process, monitor, SIGKILL))

    def _kill_processes(self, container: Container) -> None:
        cgroups = self.cgroups.of(container)
        cgroups.thaw(container.id)
        cgroups.kill(container.id)
        init = container.process or _process_in(self._journal(container).after(0))
        if init is not None:
            process.signal_process(init, SIGKILL)

    def _monitor(self, container: Container) -> ProcessIdentity | None:
        return container.monitor or monitor_of(self._journal(container).after(0))

    # --- Everything -----------------------------------------------------------------------------------------------------

    async def inventory(self) -> Inventory:
        """Everything with our mark."""
        mine = tuple(self.running())
        found = await self.networks.survey(mine)
        inventory = await self.lanes.run(Lane.KERNEL, partial(self._list, mine))
        return replace(
            inventory,
            sandboxes=found.sandboxes,
            damaged_sandboxes=found.damaged,
            bridges=found.bridges,
        )

    def _list(self, running: Collection[Container]) -> Inventory:
        return Inventory(
            bundles=self.bundles.bundles.owned(),
            cgroups=self.cgroups.owned(running),
            directories=self.bundles.rootfs.all(),
            damaged_cgroups=frozenset(each.id for each in running if not self._is_held(each)),
            missing_files=frozenset(
                each.id for each in running if self.bundles.files.presence(each) is Presence.ABSENT
            ),
        )

    def _is_held(self, container: Container) -> bool:
        """Whether its process is where its limits hold, and stands still if it should."""
        assert container.process is not None
        cgroups = self.cgroups.of(container)
        if container.phase is Phase.PAUSED and not cgroups.is_frozen(container.id):
            return False
        return cgroups.holds(container.id, container.process.pid)

    async def discard(self, kind: str, name: str) -> None:
        """Take an orphan away, unless something runs in it or it may hold somebody's data."""
        container = ContainerId(name)
        match kind:
            case "bundle":
                await self.lanes.run(Lane.KERNEL, partial(self._discard_bundle, container))
            case "cgroup":
                await self.lanes.run(Lane.KERNEL, partial(self._discard_cgroup, container))
            case "bridge":
                await self.networks.discard_bridge(name)
            case "sandbox":
                await self.networks.remove_sandbox(SandboxId(name))
            case _:  # a start makes it only once the log has the container: so somebody changed the log, or put it there
                raise DriverError(f"{kind} {name} belongs to no container in the log")

    def _discard_bundle(self, container: ContainerId) -> None:
        if process.monitor_alive(naming.bundle_directory(self.exec_root, container)):
            raise DriverError(f"bundle {container} belongs to nobody, and a monitor has it")
        self.bundles.bundles.remove(container)

    def _discard_cgroup(self, container: ContainerId) -> None:
        if pids := self.cgroups.own.pids(container):
            raise DriverError(
                f"cgroup {container} belongs to nobody, and processes {sorted(pids)} run in it"
            )
        self.cgroups.own.remove(container)


_STARTED: Final = (ProcessStarted, ProcessNotStarted, ProcessExited)


def _is_about(known: Fact, execution: ExecId) -> bool:
    kinds = (ExecProcessStarted, ExecProcessNotStarted, ExecProcessExited)
    return isinstance(known, kinds) and known.execution == execution


def _process_in(facts: tuple[Fact, ...]) -> ProcessIdentity | None:
    return next((each.process for each in facts if isinstance(each, ProcessStarted)), None)


def _presence(there: bool) -> Presence:
    return Presence.RIGHT if there else Presence.ABSENT
