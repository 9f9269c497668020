"""List all objects of the engine's own, and discard those of no container."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from engine.domain import naming
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, SandboxId
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.effects.first_processes import FirstProcesses
from engine.drivers.effects.watches import DirectoryWatch, MountWatch
from engine.drivers.lanes import Lane, Lanes
from engine.drivers.networks.port import LinuxNetworks
from engine.drivers.processes import identity as process
from engine.drivers.runs.bundle_maker import BundleMaker
from engine.errors import DriverError
from engine.ports.observation import Inventory, Presence


@dataclass(slots=True, kw_only=True)
class OwnObjects:
    """Lists and discards the objects that this engine has made. A survey takes three thread hops,
    however many there are.
    """

    data_root: Path
    exec_root: Path
    lanes: Lanes
    cgroups: Cgroups
    networks: LinuxNetworks
    bundles: BundleMaker
    running: Callable[[], Collection[Container]]
    """Returns the running containers."""
    _directories: DirectoryWatch = field(default_factory=DirectoryWatch)
    _mounts: MountWatch = field(default_factory=MountWatch)
    _first_processes: FirstProcesses = field(init=False)

    def __post_init__(self) -> None:
        """Make the parts that need the others."""
        self._first_processes = FirstProcesses(self.cgroups)

    def close(self) -> None:
        """Release the descriptors; the next use opens others."""
        self._directories.close()
        self._mounts.close()
        self._first_processes.close()

    async def may_have_changed(self) -> bool:
        """Return False if another survey would find what the last one has found.

        The kernel reports almost everything. The settings of bridges, which it does not report,
        are read.
        """
        return await self.lanes.run(Lane.NETLINK, self._has_changes)

    def _has_changes(self) -> bool:
        changes = (
            self.networks.has_changes(),
            self._directories.has_changes(),
            self._mounts.has_changes(),
            self._first_processes.has_changes(),
        )  # all are asked, since each drops its notices
        return any(changes)

    async def survey(self) -> Inventory:
        """List all objects that have a name of the engine's."""
        running = tuple(self.running())
        await self.lanes.run(Lane.OBSERVE, partial(self._watch_directories, running))
        found = await self.networks.survey(running)
        inventory = await self.lanes.run(Lane.OBSERVE, partial(self._list, running))
        return replace(
            inventory,
            sandboxes=found.sandboxes,
            damaged_sandboxes=found.damaged,
            bridges=found.bridges,
        )

    def _watch_directories(self, running: Iterable[Container]) -> None:
        """Watch the directories that are listed, and those with files of running containers."""
        listed = (
            naming.bundle_directory(self.exec_root, ContainerId("")),
            naming.sandbox_path(self.exec_root, SandboxId("")),
            naming.container_directory(self.data_root, ContainerId("")),
            *self.cgroups.own.parents,
        )
        own = (naming.container_directory(self.data_root, each.id) for each in running)
        self._directories.watch([str(each) for each in (*listed, *own)])

    def _list(self, running: Collection[Container]) -> Inventory:
        files = self.bundles.files
        return Inventory(
            bundles=self.bundles.bundles.owned(),
            cgroups=self.cgroups.owned(running),
            directories=self.bundles.rootfs.all(),
            damaged_cgroups=self._first_processes.misplaced(running),
            missing_files=frozenset(
                each.id for each in running if files.presence(each) is Presence.ABSENT
            ),
        )

    async def discard(self, kind: str, name: str) -> None:
        """Remove an orphan, unless something runs in it or it may hold a user's data."""
        container = ContainerId(name)
        match kind:
            case "bundle":
                await self.lanes.run_for(container, partial(self._discard_bundle, container))
            case "cgroup":
                await self.lanes.run_for(container, partial(self._discard_cgroup, container))
            case "bridge":
                await self.networks.discard_bridge(name)
            case "sandbox":
                await self.networks.remove_sandbox(SandboxId(name))
            # a start creates it only after the log has the container: another program made it, or
            # changed the log
            case _:
                raise DriverError(f"{kind} {name} belongs to no container in the log")

    def _discard_bundle(self, container: ContainerId) -> None:
        if process.monitor_alive(naming.bundle_directory(self.exec_root, container)):
            raise DriverError(f"bundle {container} belongs to no container, and a monitor has it")
        self.bundles.bundles.remove(container)

    def _discard_cgroup(self, container: ContainerId) -> None:
        if pids := self.cgroups.own.pids(container):
            raise DriverError(
                f"cgroup {container} belongs to no container, and processes {sorted(pids)} run in it"
            )
        self.cgroups.own.remove(container)
