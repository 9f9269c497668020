"""Answer questions about the engine itself: version, settings, counts."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import engine
from engine.domain.container.phases import Phase
from engine.domain.container.resources import Machine
from engine.domain.ids import InstanceId
from engine.domain.network.addresses import SubnetSource
from engine.ports.host import Host, HostFacts
from engine.queries.lookups import Lookups
from engine.store.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The daemon's configuration, as far as clients can see it."""

    data_root: Path
    exec_root: Path
    cgroup_parent: str
    cgroup_version: str
    """``1`` or ``2``, as Docker's clients read it."""
    machine: Machine
    seccomp: bool = True
    init_path: str = ""
    subnet_sources: tuple[SubnetSource, ...] = ()
    """Where networks' subnets are looked for."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of containers by Docker's three states."""

    running: int
    paused: int
    stopped: int


class System:
    """Answers questions about versions, counts and the machine."""

    def __init__(
        self, ledger: Ledger, settings: Settings, host: Host, hanging_threads: Callable[[], int]
    ) -> None:
        """``hanging_threads`` counts those that were given up: they wait for a file system that
        doesn't answer.
        """
        self.hanging_threads = hanging_threads
        self._ledger = ledger
        self._host = host
        self.settings = settings
        self.version = metadata.version("shipslog")
        self.built_ns = Path(engine.__file__).stat().st_mtime_ns
        """When this engine was put on this machine: what interpreted code has in place of a
        build.
        """

    @property
    def instance(self) -> InstanceId:
        """Return the ID of the data root."""
        return self._ledger.durable.host.instance

    async def facts(self) -> HostFacts:
        """Return facts about the machine, read now."""
        return await self._host.facts()

    @property
    def lookups(self) -> Lookups:
        """Return what containers refer to, as of now."""
        return Lookups(self._ledger.durable)

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970, CLOCK_REALTIME."""
        return self._ledger.clock.wall_ns()

    def boot_ns(self) -> int:
        """Return nanoseconds since the machine started, CLOCK_BOOTTIME, which never jumps."""
        return self._ledger.clock.boot_ns()

    def counts(self) -> Counts:
        """Count the containers that run, that are paused, and the others."""
        phases = [container.phase for container in self._ledger.durable.containers.values()]
        running, paused = phases.count(Phase.RUNNING), phases.count(Phase.PAUSED)
        return Counts(running, paused, len(phases) - running - paused)
