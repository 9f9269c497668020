"""Manage cgroups of version 2: Documentation/admin-guide/cgroup-v2.rst.

A controller works in a cgroup only if every ancestor enables it (``cgroup.subtree_control``), and a
cgroup that enables one may have no processes of its own ("no internal processes"; the root is
exempt). When the engine runs inside a delegated cgroup, as under systemd with ``Delegate=yes``, its
own processes would prevent that: they move into a leaf cgroup.
"""

import errno
import os
from pathlib import Path, PurePosixPath
from typing import Final

from engine.domain.container.resources import Machine, Resources
from engine.domain.ids import ContainerId
from engine.drivers.cgroups import block, bpf, files, unified
from engine.drivers.cgroups.devices import Policy, fold, v2_program
from engine.drivers.cgroups.driver import CgroupDriver, Entry, relative
from engine.drivers.cgroups.programs import Programs
from engine.drivers.cgroups.settings import v2_settings
from engine.drivers.cgroups.v2_stats import read_stats
from engine.errors import DriverError
from engine.ports.usage import Counters

CONTROLLERS: Final[tuple[str, ...]] = ("cpu", "cpuset", "io", "memory", "pids")
OWN_LEAF: Final = "shipslog-engine"
"""The leaf cgroup that the engine's own processes move into."""


class V2Driver(CgroupDriver):
    """Cgroups of version 2: one directory per container."""

    def __init__(self, root: Path, parent: PurePosixPath, programs: Programs | None = None) -> None:
        super().__init__([root], parent)
        self._root = root
        self._place = root / parent
        self._programs = programs or Programs()

    def below(self, parent: str) -> "V2Driver":
        """Return a driver for another parent, with the same programs."""
        return V2Driver(self._root, relative(parent), self._programs)

    def machine(self) -> Machine:
        """Return CPUs and memory nodes of the root's cpuset, and the limits that the controllers
        support.

        In version 2 the OOM killer can't be switched off, and there is neither a swappiness nor a
        real-time budget for each cgroup.
        """
        online = files.read_or(Path("/sys/devices/system/cpu/online"), "0")
        controllers = files.read_or(self._root / "cgroup.controllers", "").split()
        memory, cpu, io = "memory" in controllers, "cpu" in controllers, "io" in controllers
        return Machine(
            cpus=files.read_or(self._root / "cpuset.cpus.effective", online),
            memory_nodes=files.read_or(self._root / "cpuset.mems.effective", "0"),
            memory_limit=memory,
            swap_limit=memory and self._below_root_has("memory.swap.max"),
            memory_reservation=memory,
            memory_swappiness=False,
            oom_kill_disable=False,
            cpu_shares=cpu,
            cpu_quota=cpu and self._below_root_has("cpu.max"),
            cpu_realtime=False,
            cpuset="cpuset" in controllers,
            pids_limit="pids" in controllers,
            block_weight=io
            and (self._below_root_has("io.bfq.weight") or self._below_root_has("io.weight")),
            block_rates=io and self._below_root_has("io.max"),
        )

    def _below_root_has(self, name: str) -> bool:
        """True if cgroups below the root have a control file. The root itself has none; if no child
        shows the controller, it is assumed to be complete.
        """
        controller = name.partition(".")[0]
        children = [
            place
            for place in self._root.iterdir()
            if place.is_dir()
            and controller in files.read_or(place / "cgroup.controllers", "").split()
        ]
        return not children or any((place / name).exists() for place in children)

    def update(self, container: ContainerId, resources: Resources, *, whole: bool = False) -> None:
        """Set the given limits."""
        directory = self._place / container
        _set_memory_and_swap(directory, resources, whole=whole)
        for setting in v2_settings(resources, whole=whole):
            files.apply(directory, setting)
        block.set_v2(directory, resources.block)

    def _set_devices(
        self, container: ContainerId, resources: Resources, *, all_devices: bool
    ) -> None:
        """Attach the device program, replacing an older one atomically.

        A policy that bans nothing needs no program; then only an older one is detached.
        """
        policy = fold(resources.device_rules, all_devices=all_devices)
        try:
            fd = os.open(self._place / container, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._attach(fd, policy)
            finally:
                os.close(fd)
        except OSError as error:
            raise DriverError(f"restrict devices of {container}: {error.strerror}") from error

    def _attach(self, fd: int, policy: Policy) -> None:
        attached = bpf.bpf_prog_query(fd, bpf.BPF_CGROUP_DEVICE)
        flags = bpf.BPF_F_ALLOW_MULTI
        old_fds: list[int] = []
        try:
            old_fds.extend(map(bpf.bpf_prog_get_fd_by_id, attached))
            if policy.allow and not policy.exceptions:
                for old_fd in old_fds:
                    bpf.bpf_prog_detach(fd, old_fd, bpf.BPF_CGROUP_DEVICE)
            elif old_fds:
                with self._programs.loaded(v2_program(policy)) as new_fd:
                    replacing = flags | bpf.BPF_F_REPLACE
                    bpf.bpf_prog_attach(fd, new_fd, bpf.BPF_CGROUP_DEVICE, replacing, old_fds[0])
            else:
                with self._programs.loaded(v2_program(policy)) as new_fd:
                    bpf.bpf_prog_attach(fd, new_fd, bpf.BPF_CGROUP_DEVICE, flags)
        finally:
            for old_fd in old_fds:
                os.close(old_fd)

    def entry(self, container: ContainerId) -> Entry:
        """Return the directory to clone into."""
        return Entry(str(self._place / container), ())

    def oom_counters(self, container: ContainerId) -> tuple[tuple[str, str], ...]:
        """Return ``oom_kill`` of memory.events, which counts the cgroups below too."""
        return ((str(self._place / container / "memory.events"), "oom_kill"),)

    def stats(self, container: ContainerId) -> Counters:
        """Read the counters from the container's directory."""
        return read_stats(self._place / container)

    def freeze(self, container: ContainerId) -> None:
        """Freeze through ``cgroup.freeze``."""
        unified.freeze(self._place / container)

    def thaw(self, container: ContainerId) -> None:
        """Thaw through ``cgroup.freeze``."""
        unified.thaw(self._place / container)

    def is_frozen(self, container: ContainerId) -> bool:
        """True if all processes are frozen, according to ``cgroup.events``."""
        return unified.is_frozen(self._place / container)

    def populated(self, container: ContainerId) -> bool:
        """True if there is a process, according to ``cgroup.events``."""
        return unified.populated(self._place / container)

    def _kill_at_once(self, container: ContainerId) -> bool:
        return unified.kill(self._place / container)

    def _make_parents(self) -> None:
        self._place.mkdir(mode=0o755, parents=True, exist_ok=True)
        available = files.read(self._root / "cgroup.controllers").split()
        wanted = [controller for controller in CONTROLLERS if controller in available]
        ancestors = [*self._place.parents[: len(self._parent.parts)]]
        for directory in (*reversed(ancestors), self._place):
            _enable_controllers(directory, wanted)


def _enable_controllers(directory: Path, wanted: list[str]) -> None:
    """Enable controllers for the cgroups below ``directory``, in its ``cgroup.subtree_control``."""
    control = directory / "cgroup.subtree_control"
    missing = [f"+{name}" for name in wanted if name not in files.read(control).split()]
    if not missing:
        return
    try:
        files.write(control, " ".join(missing))
    except OSError as error:
        if error.errno != errno.EBUSY or not _is_ours(directory):
            raise DriverError(f"hand down {missing} in {directory}: {error.strerror}") from error
        _move_own_processes(directory)
        files.demand(control, " ".join(missing))


def _is_ours(directory: Path) -> bool:
    """True if the engine itself runs in this very cgroup. Other programs' processes are not
    moved.
    """
    return str(os.getpid()) in files.read(directory / "cgroup.procs").split()


def _move_own_processes(directory: Path) -> None:
    leaf = directory / OWN_LEAF
    leaf.mkdir(mode=0o755, exist_ok=True)
    for pid in files.read(directory / "cgroup.procs").split():
        try:
            files.write(leaf / "cgroup.procs", pid)
        except ProcessLookupError:
            continue
        except OSError as error:
            raise DriverError(f"move process {pid} to {leaf}: {error.strerror}") from error


def _limit(value: int) -> str:
    return str(value) if value > 0 else "max"


def _set_memory_and_swap(directory: Path, resources: Resources, *, whole: bool) -> None:
    """Set the limits of memory and swap: Docker counts both together, version 2 swap alone. Without
    CONFIG_SWAP there is no such file.
    """
    memory_bytes, both = resources.memory_bytes, resources.memory_and_swap_bytes
    if not memory_bytes and not whole:
        return
    swap_path = directory / "memory.swap.max"
    if swap_path.exists():
        unlimited = memory_bytes <= 0 or both < 0
        files.demand(swap_path, "max" if unlimited else str(both - memory_bytes))
    files.demand(directory / "memory.max", _limit(memory_bytes))
