"""LinuxKernel: the supervisor's port, answered by the drivers together; see ``effects``."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.container_locks import ContainerLocks
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.effects.inventory import OwnObjects
from engine.drivers.effects.journals import Journals
from engine.drivers.effects.observer import Observer
from engine.drivers.effects.performers import Performer, Performers
from engine.drivers.effects.processes import Processes
from engine.drivers.lanes import Lanes
from engine.drivers.networks.port import LinuxNetworks
from engine.drivers.processes import identity as process
from engine.drivers.runs.bundle_maker import BundleMaker
from engine.drivers.runs.connections import Connections
from engine.drivers.runs.monitors import Monitors
from engine.drivers.storage.trash import Trash
from engine.ports.actions import Action
from engine.ports.observation import Fact, Inventory, Observation


@dataclass(slots=True, kw_only=True)
class LinuxKernel:
    """The supervisor's port, answered by the machine's own kernel."""

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
    layer_locks: ContainerLocks = field(default_factory=ContainerLocks)
    """Held by what writes to a container's layer: a launch, a copy into it, the removal. A copy has
    its tar on the disk before it begins, so a start never waits for a client."""
    _journals: Journals = field(init=False)
    _observer: Observer = field(init=False)
    _own: OwnObjects = field(init=False)
    _performers: Mapping[type[Action], Performer] = field(init=False)

    def __post_init__(self) -> None:
        """Create the parts that share these drivers."""
        self._journals = Journals(data_root=self.data_root, exec_root=self.exec_root)
        self._observer = Observer(
            data_root=self.data_root,
            exec_root=self.exec_root,
            lanes=self.lanes,
            boot_id=self.boot_id,
            cgroups=self.cgroups,
            networks=self.networks,
            monitors=self.monitors,
            files=self.bundles.files,
            journals=self._journals,
        )
        self._own = OwnObjects(
            data_root=self.data_root,
            exec_root=self.exec_root,
            lanes=self.lanes,
            cgroups=self.cgroups,
            networks=self.networks,
            bundles=self.bundles,
            running=self.running,
        )
        self._performers = self._made_performers().table()

    def _made_performers(self) -> Performers:
        processes = Processes(
            lanes=self.lanes,
            cgroups=self.cgroups,
            monitors=self.monitors,
            connections=self.connections,
            bundles=self.bundles,
            journals=self._journals,
            layer_locks=self.layer_locks,
            running=self.running,
        )
        return Performers(
            lanes=self.lanes,
            cgroups=self.cgroups,
            networks=self.networks,
            monitors=self.monitors,
            connections=self.connections,
            bundles=self.bundles,
            trash=self.trash,
            layer_locks=self.layer_locks,
            journals=self._journals,
            observer=self._observer,
            processes=processes,
        )

    def hint(self, container: ContainerId) -> None:
        """Announce that the container's journal has grown or its monitor has ended, to those who
        wait for that.
        """
        self._journals.hint(container)

    async def observe(self, container: Container, facts_after: int) -> Observation:
        """Look at one container."""
        return await self._observer.observe(container, facts_after)

    async def perform(self, container: Container, action: Action) -> tuple[Fact, ...]:
        """Perform an action; of a launch and of an exec return the facts that ended the wait."""
        return await self._performers[type(action)](container, action)

    def close(self) -> None:
        """Release the descriptors of watches; the next use opens others."""
        self._own.close()

    async def may_have_changed(self) -> bool:
        """Return False if nothing has changed since the last inventory."""
        return await self._own.may_have_changed()

    async def inventory(self) -> Inventory:
        """List everything with our mark."""
        return await self._own.survey()

    async def discard(self, kind: str, name: str) -> None:
        """Remove an orphan, unless something runs in it or it may hold a user's data."""
        await self._own.discard(kind, name)
