"""The engine about itself."""

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from engine.domain.container import Container, Phase
from engine.domain.ids import InstanceId
from engine.domain.network import Network
from engine.domain.resources import Machine
from engine.store.ledger import Ledger

PRODUCT: Final = "shipslog"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the daemon was configured with, as far as clients are told."""

    data_root: Path
    exec_root: Path
    cgroup_parent: str
    cgroup_version: str
    """``1`` or ``2``, as Docker's clients read it."""
    machine: Machine
    seccomp: bool = True
    init_path: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """Containers by what Docker's clients call them."""

    running: int
    paused: int
    stopped: int


class System:
    """Versions, counts, networks."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self.settings = settings
        self.version = metadata.version("shipslog")

    @property
    def instance(self) -> InstanceId:
        """Which data root this is."""
        return self._ledger.durable.host.instance

    @property
    def kernel(self) -> os.uname_result:
        """The machine's kernel, uname(2)."""
        return os.uname()

    @property
    def operating_system(self) -> str:
        """The distribution's own name for itself, os-release(5)."""
        try:
            return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
        except OSError:
            return "Linux"

    @property
    def memory_bytes(self) -> int:
        """The machine's memory."""
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def counts(self) -> Counts:
        """How many containers run, are paused, and do neither."""
        phases = [container.phase for container in self._ledger.durable.containers.values()]
        running, paused = phases.count(Phase.RUNNING), phases.count(Phase.PAUSED)
        return Counts(running, paused, len(phases) - running - paused)

    def networks(self) -> tuple[Network, ...]:
        """All networks."""
        return tuple(self._ledger.durable.networks.values())

    def network(self, word: str) -> Network:
        """A network by name or ID.

        Raises:
            NotFound: there is none.
        """
        return self._ledger.durable.network_named(word)

    def connected(self, network: Network) -> tuple[Container, ...]:
        """The containers that have an address of a network."""
        containers = self._ledger.durable.containers
        holders = (containers[identity] for identity in self._ledger.durable.addresses.values())
        return tuple(
            each for each in holders if each.endpoint and each.endpoint.network == network.id
        )

    def uptime_s(self, container: Container) -> float:
        """How long a container has been running, by the clock that does not jump."""
        return (self._ledger.clock.boot_ns() - container.started_boot_ns) / 1e9
