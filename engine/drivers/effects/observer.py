"""Observe one container.

An observation reads the journal, tries the monitor's lock, and asks /proc, the cgroups and some
directory entries. The files are on the disk of the data root, which can be slow, so the first
observation after a while uses a thread. An observation soon after another one finds everything in
the kernel's caches, never blocks, and stays on the trio thread: a thread hop would take several
times as long.

Only the sweep looks inside sandboxes, all of them together. Between two sweeps a sandbox is what
the last sweep found.
"""

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from engine.domain import naming
from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.effects.journals import Journals, process_in
from engine.drivers.lanes import Lane, Lanes
from engine.drivers.networks.port import LinuxNetworks
from engine.drivers.processes import identity as process
from engine.drivers.runs.etc_files import EtcFiles
from engine.drivers.runs.monitors import Monitors
from engine.ports.observation import Observation, Presence

IN_MEMORY_S: Final = 10.0
"""How long after an observation the kernel is assumed to have everything cached still."""


@dataclass(slots=True, kw_only=True)
class Observer:
    """Observes containers."""

    data_root: Path
    exec_root: Path
    lanes: Lanes
    boot_id: str
    cgroups: Cgroups
    networks: LinuxNetworks
    monitors: Monitors
    files: EtcFiles
    journals: Journals
    _looked_at: dict[ContainerId, float] = field(default_factory=dict)

    async def observe(self, container: Container, facts_after: int) -> Observation:
        """Observe one container; return the journal's facts with numbers above ``facts_after``."""
        look = partial(self._look, container, facts_after)
        if self._is_in_memory(container.id):
            await trio.lowlevel.checkpoint()
            observation = look()
        else:
            observation = await self.lanes.run(Lane.OBSERVE, look)
        self._looked_at[container.id] = trio.current_time()
        if facts_after and self.journals.of(container).has_grown_long():
            self.monitors.forget_facts(container.id, facts_after)  # the log has them
        return observation

    def forget(self, container: ContainerId) -> None:
        """Forget a container that is being removed."""
        self._looked_at.pop(container, None)

    def _is_in_memory(self, container: ContainerId) -> bool:
        looked_at = self._looked_at.get(container)
        return looked_at is not None and trio.current_time() - looked_at < IN_MEMORY_S

    def _look(self, container: Container, facts_after: int) -> Observation:
        identity = container.id
        bundle = naming.bundle_directory(self.exec_root, identity)
        directory = naming.container_directory(self.data_root, identity)
        monitor_alive = process.monitor_alive(
            bundle
        )  # before the journal: a dead one writes no more
        facts = self.journals.of(container).after(facts_after)
        init = container.process or process_in(facts)
        cgroups = self.cgroups.of(container)
        frozen = container.phase is Phase.PAUSED or bool(container.orders)
        return Observation(
            boot_id=self.boot_id,
            monitor_alive=monitor_alive,
            process_alive=init is not None and process.process_alive(init),
            facts=facts,
            sandbox=self._sandbox(container),
            cgroup=cgroups.check(identity, init.pid if init and container.process else None),
            frozen=frozen and cgroups.is_frozen(identity),
            bundle=presence(os.path.exists(bundle)),  # noqa: PTH110  (in a hurry)
            directory=presence(os.path.exists(directory)),  # noqa: PTH110
            files=self.files.presence(container) if container.is_running else Presence.ABSENT,
        )

    def _sandbox(self, container: Container) -> Presence:
        sandbox = container.sandbox
        if sandbox is None:
            return Presence.ABSENT
        if container.phase is Phase.STARTING:
            return presence(self.networks.is_prepared(sandbox))
        if container.is_running:
            return Presence.DAMAGED if self.networks.is_damaged(sandbox) else Presence.RIGHT
        return presence(self.networks.is_pinned(sandbox))


def presence(there: bool) -> Presence:
    """Return the presence of an object that either exists and is right, or does not exist."""
    return Presence.RIGHT if there else Presence.ABSENT
