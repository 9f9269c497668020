"""Map each action to the function that performs it.

Each performer takes the container and the action, and returns the facts for which it has waited: a
launch and an exec return some, others none.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace as replace_fields

from engine.container_locks import ContainerLocks
from engine.domain.container.resources import BlockLimits, Resources
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.effects.journals import Journals
from engine.drivers.effects.observer import Observer
from engine.drivers.effects.processes import Processes
from engine.drivers.lanes import Family, Lanes
from engine.drivers.networks.port import LinuxNetworks
from engine.drivers.processes import identity as process
from engine.drivers.runs.bundle_maker import BundleMaker
from engine.drivers.runs.connections import Connections
from engine.drivers.runs.device_mappings import mapped_rules
from engine.drivers.runs.monitors import Monitors
from engine.drivers.storage.trash import Trash
from engine.errors import DriverError
from engine.failpoints import failpoint
from engine.ports import actions as do
from engine.ports.actions import Action
from engine.ports.observation import Fact

Performer = Callable[[Container, Any], Awaitable[tuple[Fact, ...]]]
"""A function that performs actions of one class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Performers:
    """The functions that perform actions."""

    lanes: Lanes
    cgroups: Cgroups
    networks: LinuxNetworks
    monitors: Monitors
    connections: Connections
    bundles: BundleMaker
    trash: Trash
    layer_locks: ContainerLocks
    journals: Journals
    observer: Observer
    processes: Processes

    def table(self) -> Mapping[type[Action], Performer]:
        """Return the performer of each action."""
        return MappingProxyType(
            {
                do.PrepareSandbox: _quiet(self._prepare_sandbox),
                do.PrepareCgroup: _quiet(self._prepare_cgroup),
                do.PrepareRun: _quiet(self._prepare_run),
                do.UpdateFiles: _quiet(self._update_files),
                do.PublishPorts: _quiet(self._publish_ports),
                do.Connect: _quiet(self._rewire),
                do.Disconnect: _quiet(self._rewire),
                do.ApplyLimits: _quiet(self._apply_limits),
                do.Freeze: _quiet(self._freeze),
                do.Thaw: _quiet(self._thaw),
                do.Launch: self.processes.launch,
                do.StartExec: self.processes.start_exec,
                do.Signal: self.processes.signal,
                do.KillEverything: self.processes.kill_everything,
                do.UnpublishPorts: _quiet(self._unpublish_ports),
                do.RemoveSandbox: _quiet(self._remove_sandbox),
                do.RemoveCgroup: _quiet(self._remove_cgroup),
                do.RemoveBundle: _quiet(self._remove_bundle),
                do.RemoveDirectory: _quiet(self._remove_directory),
            }
        )

    # --- Network ---

    async def _prepare_sandbox(self, container: Container, _action: do.PrepareSandbox) -> None:
        await self.networks.prepare_sandbox(container)

    async def _publish_ports(self, container: Container, _action: do.PublishPorts) -> None:
        await self.networks.publish(container)

    async def _rewire(self, container: Container, _action: do.Connect | do.Disconnect) -> None:
        await self.networks.rewire(container)
        await self.lanes.run_for(container.id, partial(self.bundles.files.update, container))

    async def _unpublish_ports(self, container: Container, _action: do.UnpublishPorts) -> None:
        await self.networks.unpublish(container)

    async def _remove_sandbox(self, _container: Container, action: do.RemoveSandbox) -> None:
        await self.networks.remove_sandbox(action.sandbox)

    # --- Cgroups ---

    async def _prepare_cgroup(self, container: Container, _action: do.PrepareCgroup) -> None:
        await self.lanes.run_for(container.id, partial(self._make_cgroup, container))

    def _make_cgroup(self, container: Container) -> None:
        cgroups, limits = self.cgroups.of(container), container.spec.resources
        devices = mapped_rules(limits.devices)
        cgroups.prepare(
            container.id,
            replace_fields(limits, device_rules=(*devices, *limits.device_rules)),
            all_devices=container.spec.privileged,
        )
        if container.process is not None:
            with process.held(container.process) as is_there:
                cgroups.adopt(container.id, container.process.pid, is_there)

    async def _apply_limits(self, container: Container, action: do.ApplyLimits) -> None:
        limit = partial(self._limit, container, action.resources)
        await self.lanes.run_for(container.id, limit)

    def _limit(self, container: Container, limits: Resources) -> None:
        """Set limits, or restore the present ones if the kernel refuses. Limits of block devices
        never change, and their nodes may be gone.
        """
        cgroups = self.cgroups.of(container)
        try:
            cgroups.update(container.id, replace_fields(limits, block=BlockLimits()))
        except DriverError:
            before = replace_fields(container.spec.resources, block=BlockLimits())
            with suppress(DriverError):  # the first refusal is what counts
                cgroups.update(container.id, before, whole=True)
            raise

    async def _freeze(self, container: Container, _action: do.Freeze) -> None:
        freeze = partial(self.cgroups.of(container).freeze, container.id)
        await self.lanes.run_for(container.id, freeze, Family.CONTROL)

    async def _thaw(self, container: Container, _action: do.Thaw) -> None:
        thaw = partial(self.cgroups.of(container).thaw, container.id)
        await self.lanes.run_for(container.id, thaw, Family.CONTROL)

    async def _remove_cgroup(self, container: Container, _action: do.RemoveCgroup) -> None:
        remove = partial(self.cgroups.of(container).remove, container.id)
        await self.lanes.run_for(container.id, remove)

    # --- Files ---

    async def _prepare_run(self, container: Container, _action: do.PrepareRun) -> None:
        self.lanes.refuse_hanging(container.id)
        await self.lanes.run_for(container.id, partial(self._make_run, container))

    def _make_run(self, container: Container) -> None:
        self._make_cgroup(container)
        failpoint("cgroup_made")
        self.bundles.make(container)

    async def _update_files(self, container: Container, _action: do.UpdateFiles) -> None:
        await self.lanes.run_for(container.id, partial(self.bundles.files.update, container))

    async def _remove_bundle(self, container: Container, _action: do.RemoveBundle) -> None:
        self.monitors.forget(container.id)
        remove = partial(self.bundles.bundles.remove, container.id)
        await self.lanes.run_for(container.id, remove)

    async def _remove_directory(self, container: Container, _action: do.RemoveDirectory) -> None:
        self.monitors.forget(container.id)
        self.journals.forget(container.id)
        self.observer.forget(container.id)
        async with self.layer_locks.hold(container.id):
            take_away = partial(self._take_away, container.id)
            if (removed := await self.lanes.run_for(container.id, take_away)) is not None:
                self.trash.add(removed)
            self.connections.forget(container.id)

    def _take_away(self, container: ContainerId) -> Path | None:
        self.bundles.bundles.remove(container)
        failpoint("bundle_removed")
        return self.bundles.rootfs.set_aside(container)


def _quiet(perform: Callable[[Container, Any], Awaitable[None]]) -> Performer:
    """Make a performer from a function that returns no facts."""

    async def performer(container: Container, action: Action) -> tuple[Fact, ...]:
        await perform(container, action)
        return ()

    return performer
