"""List all objects of the engine's own, and discard those of no container."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from engine.domain import naming
from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, SandboxId
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.lanes import Lane, Lanes
from engine.drivers.networks.port import LinuxNetworks
from engine.drivers.processes import identity as process
from engine.drivers.runs.bundle_maker import BundleMaker
from engine.errors import DriverError
from engine.ports.observation import Inventory, Presence


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnObjects:
    """Lists and discards the objects that this engine has made. A survey takes two thread hops,
    however many there are.
    """

    exec_root: Path
    lanes: Lanes
    cgroups: Cgroups
    networks: LinuxNetworks
    bundles: BundleMaker
    running: Callable[[], Collection[Container]]
    """Returns the running containers."""

    async def survey(self) -> Inventory:
        """List all objects that have a name of the engine's."""
        running = tuple(self.running())
        found = await self.networks.survey(running)
        inventory = await self.lanes.run(Lane.OBSERVE, partial(self._list, running))
        return replace(
            inventory,
            sandboxes=found.sandboxes,
            damaged_sandboxes=found.damaged,
            bridges=found.bridges,
        )

    def _list(self, running: Collection[Container]) -> Inventory:
        files = self.bundles.files
        return Inventory(
            bundles=self.bundles.bundles.owned(),
            cgroups=self.cgroups.owned(running),
            directories=self.bundles.rootfs.all(),
            damaged_cgroups=frozenset(each.id for each in running if not self._is_right(each)),
            missing_files=frozenset(
                each.id for each in running if files.presence(each) is Presence.ABSENT
            ),
        )

    def _is_right(self, container: Container) -> bool:
        """True if the first process is in all of its cgroups, and frozen when the container is
        paused.

        False for a process that has ended: the log may not have the exit yet, and the hint may be
        lost.
        """
        assert container.process is not None
        cgroups = self.cgroups.of(container)
        if container.phase is Phase.PAUSED and not cgroups.is_frozen(container.id):
            return False
        return cgroups.has(container.id, container.process.pid)

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
            raise DriverError(f"bundle {container} belongs to nobody, and a monitor has it")
        self.bundles.bundles.remove(container)

    def _discard_cgroup(self, container: ContainerId) -> None:
        if pids := self.cgroups.own.pids(container):
            raise DriverError(
                f"cgroup {container} belongs to nobody, and processes {sorted(pids)} run in it"
            )
        self.cgroups.own.remove(container)
