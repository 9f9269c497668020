"""Start, signal and kill the processes of containers.

Kills have a queue of their own, which nothing that can hang uses.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from signal import SIGKILL
from typing import Final

import trio

from engine.container_locks import ContainerLocks
from engine.domain.container.namespace_sharing import check_joinable, joined_namespaces
from engine.domain.container.state import Container
from engine.domain.exec.oci import exec_process
from engine.domain.ids import ExecId
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.effects.journals import Journals
from engine.drivers.lanes import Family, Lanes
from engine.drivers.processes import identity as process
from engine.drivers.runs.bundle_maker import BundleMaker
from engine.drivers.runs.connections import Connections
from engine.drivers.runs.joined_namespaces import NamespaceOwners
from engine.drivers.runs.monitors import Monitors
from engine.drivers.runs.run_files import OpenRun
from engine.errors import Conflict, DriverError
from engine.ports.actions import KillEverything, Launch, Signal, StartExec
from engine.ports.observation import (
    ExecProcessExited,
    ExecProcessNotStarted,
    ExecProcessStarted,
    Fact,
    ProcessExited,
    ProcessNotStarted,
    ProcessStarted,
)
from engine.runtime.messages import Attachment, ExecOrder

START_TIMEOUT_S: Final = 60.0
"""How long a container's first process may take to execute its program. A bind mount from a dead
server can block it.
"""
EXEC_START_TIMEOUT_S: Final = 5.0
"""How long other effects on a container wait for an exec to begin."""
MONITOR_END_TIMEOUT_S: Final = 2.0
"""How long a monitor may take to record the end of a killed container, before it is killed too."""

_STARTED: Final = (ProcessStarted, ProcessNotStarted, ProcessExited)
_OF_EXECS: Final = (ExecProcessStarted, ExecProcessNotStarted, ExecProcessExited)


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """Performs actions on processes."""

    lanes: Lanes
    cgroups: Cgroups
    monitors: Monitors
    connections: Connections
    bundles: BundleMaker
    journals: Journals
    layer_locks: ContainerLocks
    running: Callable[[], Collection[Container]]

    async def launch(self, container: Container, _action: Launch) -> tuple[Fact, ...]:
        """Start the monitor, and wait until it reports on the first process."""
        async with self.layer_locks.hold(container.id):
            owners = self._namespace_owners(container)
            with self.connections.attaching(container.id) as clients:
                attachments = [each for each, _ in clients]
                open_run = partial(self._open_run, container, attachments, owners)
                await self.monitors.launch(container.id, open_run, [each for _, each in clients])
            with trio.move_on_after(START_TIMEOUT_S):
                return await self.journals.until(
                    container, lambda facts: any(isinstance(each, _STARTED) for each in facts)
                )
            await self._kill_everything(container)
        raise DriverError(f"container {container.id} did not start within {START_TIMEOUT_S:.0f} s")

    def _open_run(
        self, container: Container, attachments: Sequence[Attachment], owners: NamespaceOwners
    ) -> OpenRun:
        return OpenRun(self.bundles.planned_run(container), attachments, owners)

    def _namespace_owners(self, container: Container) -> NamespaceOwners:
        """Return the containers whose namespaces it joins. Each was running when the start was
        decided.
        """
        wanted = tuple(joined_namespaces(container.spec))
        running = {each.id: each for each in self.running()} if wanted else {}
        try:
            for kind, owner in wanted:
                check_joinable(kind, owner, running.get(owner))
        except Conflict as conflict:  # the owner has ended since
            raise DriverError(str(conflict)) from conflict
        return tuple((kind, running[owner]) for kind, owner in wanted)

    async def start_exec(self, container: Container, action: StartExec) -> tuple[Fact, ...]:
        """Hand an exec to the monitor, and wait up to EXEC_START_TIMEOUT_S for its start."""
        execution = action.execution
        program = await self.lanes.run_for(
            container.id,
            partial(self.bundles.seccomp_program, container, privileged=execution.spec.privileged),
        )
        with self.connections.executing(execution.id, tty=execution.spec.tty) as (streams, client):
            order = ExecOrder(
                exec_id=execution.id,
                process=exec_process(container, execution.spec, self.bundles.linked_env(container)),  # type: ignore[arg-type]  # JSON on its way out
                tty=execution.spec.tty,
                streams=streams,
                seccomp_path=str(program) if program else None,
            )
            await self.monitors.start_exec(container.id, order, client)
        with trio.move_on_after(EXEC_START_TIMEOUT_S):
            return await self.journals.until(
                container, lambda facts: any(_is_about(each, execution.id) for each in facts)
            )
        return ()

    async def signal(self, container: Container, action: Signal) -> tuple[Fact, ...]:
        """Signal the first process, through the monitor: it ignores an order that it has already
        carried out.
        """
        assert container.process is not None
        # SIGKILL may be sent twice, and must not depend on the monitor
        if action.signal == SIGKILL:
            kill = partial(process.signal_process, container.process, SIGKILL)
            await self.lanes.run_for(container.id, kill, Family.KILLS)
        else:
            await self.monitors.signal(container.id, action.order, action.signal)
        return ()

    async def kill_everything(
        self, container: Container, _action: KillEverything
    ) -> tuple[Fact, ...]:
        """Kill all processes, and the monitor if it doesn't end by itself."""
        await self._kill_everything(container)
        return ()

    async def _kill_everything(self, container: Container) -> None:
        kill = partial(self._kill_processes, container)
        await self.lanes.run_for(container.id, kill, Family.KILLS)
        with trio.move_on_after(MONITOR_END_TIMEOUT_S) as waited:
            await self.journals.until(container, lambda _facts: False)
        monitor = self.journals.monitor_of(container)
        if waited.cancelled_caught and monitor is not None:
            kill_monitor = partial(process.signal_process, monitor, SIGKILL)
            await self.lanes.run_for(container.id, kill_monitor, Family.KILLS)

    def _kill_processes(self, container: Container) -> None:
        cgroups = self.cgroups.of(container)
        cgroups.thaw(container.id)
        init = self.journals.process_of(container)
        if init is not None:  # first: so the monitor knows why a probe was killed
            process.signal_process(init, SIGKILL)
        cgroups.kill(container.id)


def _is_about(known: Fact, execution: ExecId) -> bool:
    return isinstance(known, _OF_EXECS) and known.exec_id == execution
