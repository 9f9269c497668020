"""Manage cgroups of version 1, and hybrid: Documentation/admin-guide/cgroup-v1/.

A cgroup2 mounted beside them has no controllers, but ``cgroup.freeze``, ``cgroup.kill`` and
``cgroup.events``, which are better than what version 1 has: a frozen process can be killed, and a
kill reaches all processes at once.
"""

import errno
import time
from pathlib import Path, PurePosixPath
from typing import Final

from engine.domain.container.resources import UNLIMITED, Machine, Resources
from engine.domain.ids import ContainerId
from engine.drivers.cgroups import block, files, unified
from engine.drivers.cgroups.devices import fold, v1_lines
from engine.drivers.cgroups.driver import CgroupDriver, Entry, relative
from engine.drivers.cgroups.hierarchies import Hierarchies
from engine.drivers.cgroups.settings import v1_settings
from engine.drivers.cgroups.v1_stats import read_stats
from engine.errors import DriverError
from engine.ports.usage import Counters

_ALL_DEVICES: Final = "a *:* rwm"
_FROZEN, _THAWED = "FROZEN", "THAWED"


class V1Driver(CgroupDriver):
    """Cgroups of version 1: one directory per container in each hierarchy."""

    def __init__(self, found: Hierarchies, parent: PurePosixPath) -> None:
        roots = [*found.controllers.values(), *([found.unified] if found.unified else [])]
        super().__init__(roots, parent)
        self._found = found
        self._controllers = {name: root / parent for name, root in found.controllers.items()}
        self._unified = found.unified / parent if found.unified else None
        self._joined = tuple(dict.fromkeys(self._controllers.values()))

    def below(self, parent: str) -> "V1Driver":
        """Return a driver for another parent."""
        return V1Driver(self._found, relative(parent))

    def machine(self) -> Machine:
        """Return CPUs and memory nodes of the root's cpuset. A limit is supported if the root has
        its control file.
        """
        cpuset = self._root("cpuset")
        online = files.read_or(Path("/sys/devices/system/cpu/online"), "0")
        return Machine(
            cpus=files.read_or(cpuset / "cpuset.effective_cpus", online) if cpuset else online,
            memory_nodes=files.read_or(cpuset / "cpuset.effective_mems", "0") if cpuset else "0",
            memory_limit=self._has("memory", "memory.limit_in_bytes"),
            swap_limit=self._has("memory", "memory.memsw.limit_in_bytes"),
            memory_reservation=self._has("memory", "memory.soft_limit_in_bytes"),
            memory_swappiness=self._has("memory", "memory.swappiness"),
            oom_kill_disable=self._has("memory", "memory.oom_control"),
            kernel_memory_tcp=self._has("memory", "memory.kmem.tcp.limit_in_bytes"),
            cpu_shares=self._has("cpu", "cpu.shares"),
            cpu_quota=self._has("cpu", "cpu.cfs_quota_us"),
            cpu_realtime=self._has("cpu", "cpu.rt_runtime_us"),
            cpuset=cpuset is not None,
            pids_limit="pids" in self._controllers,
            block_weight=self._has("blkio", "blkio.weight")
            or self._has("blkio", "blkio.bfq.weight"),
            block_rates=self._has("blkio", "blkio.throttle.read_bps_device"),
        )

    def _has(self, controller: str, name: str) -> bool:
        root = self._root(controller)
        return root is not None and (root / name).exists()

    def _root(self, controller: str) -> Path | None:
        place = self._controllers.get(controller)
        return place.parents[len(self._parent.parts) - 1] if place else None

    def update(self, container: ContainerId, resources: Resources, *, whole: bool = False) -> None:
        """Set the given limits, controller by controller."""
        if memory := self._controllers.get("memory"):
            _set_memory_and_swap(memory / container, resources, whole=whole)
        for setting in v1_settings(resources, whole=whole):
            if place := self._controllers.get(setting.controller):
                files.apply(place / container, setting)
        if place := self._controllers.get("blkio"):
            block.set_v1(place / container, resources.block)

    def _set_devices(
        self, container: ContainerId, resources: Resources, *, all_devices: bool
    ) -> None:
        """Write the list of devices, unless it is right already: between denying all and allowing
        some, the container could open no device.
        """
        if (place := self._controllers.get("devices")) is None:
            return
        directory, policy = place / container, fold(resources.device_rules, all_devices=all_devices)
        lines = v1_lines(policy)
        wanted = {_ALL_DEVICES} if policy.allow and not lines else set(lines)
        if set(files.read(directory / "devices.list").splitlines()) == wanted:
            return
        first, rest = ("allow", "deny") if policy.allow else ("deny", "allow")
        files.demand(directory / f"devices.{first}", "a")
        files.demand(directory / f"devices.{rest}", *lines)

    def entry(self, container: ContainerId) -> Entry:
        """Return ``tasks`` of each hierarchy, and the cgroup2 to clone into."""
        join = tuple(str(parent / container / "tasks") for parent in self._joined)
        return Entry(str(self._unified / container) if self._unified else None, join)

    def oom_counters(self, container: ContainerId) -> tuple[tuple[str, str], ...]:
        """Return ``oom_kill`` of memory.oom_control (Linux 4.13)."""
        memory = self._controllers.get("memory")
        return ((str(memory / container / "memory.oom_control"), "oom_kill"),) if memory else ()

    def stats(self, container: ContainerId) -> Counters:
        """Read the counters from the files of each controller."""
        return read_stats({name: place / container for name, place in self._controllers.items()})

    def freeze(self, container: ContainerId) -> None:
        """Freeze through cgroup2 where there is one, else through the freezer."""
        if self._unified:
            unified.freeze(self._unified / container)
        elif freezer := self._controllers.get("freezer"):
            _freeze(freezer / container)
        else:
            raise DriverError(f"freeze {container}: this machine has no freezer")

    def thaw(self, container: ContainerId) -> None:
        """Thaw through both, because either may have been used to freeze."""
        if self._unified:
            unified.thaw(self._unified / container)
        if freezer := self._controllers.get("freezer"):
            _thaw(freezer / container)

    def is_frozen(self, container: ContainerId) -> bool:
        """True if all processes are frozen, according to cgroup2 where there is one."""
        if self._unified:
            return unified.is_frozen(self._unified / container)
        freezer = self._controllers.get("freezer")
        return freezer is not None and _state(freezer / container) == _FROZEN

    def populated(self, container: ContainerId) -> bool:
        """True if there is a process in any hierarchy."""
        if self._unified and unified.populated(self._unified / container):
            return True
        return bool(self.pids(container))

    def _kill_at_once(self, container: ContainerId) -> bool:
        return self._unified is not None and unified.kill(self._unified / container)

    def _make_parents(self) -> None:
        for parent in self._parents:
            parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if (place := self._controllers.get("cpuset")) is not None:
            root = self._root("cpuset")
            assert root is not None
            _inherit_cpuset(root, place)


def _inherit_cpuset(root: Path, place: Path) -> None:
    """Copy the parent's CPUs and memory nodes into new cpusets: an empty cpuset accepts no process.
    Below ``place`` the kernel copies them (cpusets.rst, clone_children).
    """
    steps = [place, *place.parents[: len(place.relative_to(root).parts) - 1]]
    for directory in reversed(steps):
        for name in ("cpuset.cpus", "cpuset.mems"):
            if not files.read(directory / name):
                files.demand(directory / name, files.read(directory.parent / name))
        files.demand(directory / "cgroup.clone_children", "1")


def _set_memory_and_swap(directory: Path, resources: Resources, *, whole: bool) -> None:
    """Set the limits of memory, and of memory and swap together. The latter may never be below the
    former, so the order depends on whether they grow or shrink.
    """
    if not resources.memory_bytes and not whole:
        return
    memory = directory / "memory.limit_in_bytes"
    both = directory / "memory.memsw.limit_in_bytes"
    steps = [(memory, resources.memory_bytes or UNLIMITED)]
    if both.exists():
        steps.append((both, max(resources.memory_and_swap_bytes or UNLIMITED, UNLIMITED)))
    try:
        for path, limit in steps:
            files.write(path, str(limit))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise _refused(directory, resources, error) from error
        _set_both_first(directory, resources, steps[::-1])


def _set_both_first(directory: Path, resources: Resources, steps: list[tuple[Path, int]]) -> None:
    try:
        for path, limit in steps:
            files.write(path, str(limit))
    except OSError as error:
        raise _refused(directory, resources, error) from error


def _refused(directory: Path, resources: Resources, error: OSError) -> DriverError:
    if error.errno != errno.EBUSY:
        return DriverError(f"set memory limit of {directory}: {error.strerror}")
    used = files.read_or(directory / "memory.usage_in_bytes", "?")
    peak = files.read_or(directory / "memory.max_usage_in_bytes", "?")
    return DriverError(
        f"unable to set memory limit to {resources.memory_bytes} (current usage: {used}, peak usage: {peak})"
    )


def _freeze(directory: Path) -> None:
    """Freeze through the freezer. Write again while its state is FREEZING: a process born meanwhile
    may have been missed (freezer-subsystem.rst).
    """

    def attempt() -> bool:
        files.demand(directory / "freezer.state", _FROZEN)
        return _state(directory) == _FROZEN

    if not files.retry(attempt, time.monotonic() + unified.FREEZE_TIMEOUT_S):
        _thaw(directory)
        raise DriverError(f"freeze {directory}: a process did not stop in time")


def _thaw(directory: Path) -> None:
    if _state(directory) not in ("", _THAWED):
        files.demand(directory / "freezer.state", _THAWED)


def _state(directory: Path) -> str:
    return files.read_or(directory / "freezer.state", "")
