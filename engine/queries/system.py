"""The engine about itself."""

import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import engine
from engine.domain.container.phases import Phase
from engine.domain.container.resources import Machine
from engine.domain.ids import InstanceId
from engine.domain.network.addresses import SubnetSource
from engine.queries.lookups import Lookups
from engine.runtime.mountinfo import MountEntry, is_below, mounts
from engine.store.ledger import Ledger

PRODUCT: Final = "shipslog"

_IP_FORWARD: Final = Path("/proc/sys/net/ipv4/ip_forward")
_FILESYSTEMS: Final = {"ext2": "extfs", "ext3": "extfs", "ext4": "extfs", "overlay": "overlayfs"}


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
    subnet_sources: tuple[SubnetSource, ...] = ()
    """Where networks' subnets are looked for."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Containers by what Docker's clients call them."""

    running: int
    paused: int
    stopped: int


def filesystem_of(path: Path, mounts: Iterable[MountEntry]) -> str:
    """The type of the filesystem that a path lies on; of several mounts at one place, the last."""
    best, kind = -1, "<unknown>"
    for mount in mounts:
        if is_below(str(path), mount.place) and len(mount.place) >= best:
            best, kind = len(mount.place), mount.filesystem
    return kind


class System:
    """Versions, counts, networks."""

    def __init__(
        self, ledger: Ledger, settings: Settings, hanging_threads: Callable[[], int]
    ) -> None:
        """``hanging_threads`` counts those that were given up: they wait for a file system that doesn't answer."""
        self.hanging_threads = hanging_threads
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
    def operating_system_version(self) -> str:
        """The distribution's version, os-release(5); empty if it has none."""
        try:
            return platform.freedesktop_os_release().get("VERSION_ID", "")
        except OSError:
            return ""

    @property
    def built_ns(self) -> int:
        """When this engine was put on this machine: what interpreted code has in place of a build."""
        return Path(engine.__file__).stat().st_mtime_ns

    @property
    def backing_filesystem(self) -> str:
        """What the data root lies on, by the names that Docker has for the kernel's."""
        kind = filesystem_of(self.settings.data_root, mounts())
        return _FILESYSTEMS.get(kind, kind)

    @property
    def forwards_ipv4(self) -> bool:
        """Whether the machine lets containers' packets out, ip-sysctl.rst."""
        try:
            return _IP_FORWARD.read_bytes().strip() == b"1"
        except OSError:
            return False

    @property
    def memory_bytes(self) -> int:
        """The machine's memory."""
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    @property
    def lookups(self) -> Lookups:
        """What containers refer to, as it is durably known."""
        return Lookups(self._ledger.durable)

    def wall_ns(self) -> int:
        """Nanoseconds since 1970, CLOCK_REALTIME."""
        return self._ledger.clock.wall_ns()

    def boot_ns(self) -> int:
        """Nanoseconds since the machine started, CLOCK_BOOTTIME: it never jumps."""
        return self._ledger.clock.boot_ns()

    def counts(self) -> Counts:
        """How many containers run, are paused, and do neither."""
        phases = [container.phase for container in self._ledger.durable.containers.values()]
        running, paused = phases.count(Phase.RUNNING), phases.count(Phase.PAUSED)
        return Counts(running, paused, len(phases) - running - paused)
