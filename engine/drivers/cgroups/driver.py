"""Manage a container's cgroups: a directory in every hierarchy.

    prepare ─▶ mkdir everywhere ─▶ limits ─▶ (init joins) ─▶ update, freeze, stats ─▶ kill ─▶ empty ─▶ remove: rmdir everywhere

How a process gets in matters more than it seems. Writing a process to ``cgroup.procs`` takes a lock
that every fork(2) and exit(2) on the machine shares, and the first writer after a quiet moment
waits for an RCU grace period: 6 to 20 ms. Two ways avoid it (measured on Linux 6.18): a
single-threaded process writes itself, as ``0``, into version 1's ``tasks`` (20 µs a hierarchy; see
``cgroup_procs_write_start()``), and clone3(2) with CLONE_INTO_CGROUP is born in a version 2 cgroup
(0.1 ms). See :class:`Entry`.
"""

import contextlib
import errno
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from engine.domain.container.resources import Machine, Resources
from engine.domain.ids import ContainerId, is_full_id
from engine.drivers.cgroups import files as files
from engine.drivers.listing import names_in
from engine.errors import DriverError, InvalidRequest
from engine.ports.observation import Presence
from engine.ports.usage import Counters
from engine.runtime.process_stat import process_stat

_MEMBERSHIPS_BYTES_MAX: Final = 1 << 16
REMOVE_TIMEOUT_S: Final = 2.0
"""How long a dying process may take to leave its cgroup before a removal is given up, to be tried
again later."""

_KILL_ROUNDS_MAX: Final = 8
_ADOPT_ROUNDS_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """How a container's first process, or an exec's, gets into its cgroups.

    Attributes:
        clone_into: a version 2 directory for CLONE_INTO_CGROUP, clone3(2); None where there is
            none.
        join: files into which the process, still single-threaded, writes ``0``.
    """

    clone_into: str | None
    join: tuple[str, ...]

    @property
    def procs_files(self) -> tuple[str, ...]:
        """Everything as files, for whoever was not cloned into the right place: slower."""
        return (*self.join, f"{self.clone_into}/cgroup.procs") if self.clone_into else self.join


class CgroupDriver(ABC):
    """Control groups of one version, below one parent. Safe to use from several threads, for
    different containers.
    """

    def __init__(self, roots: Iterable[Path], parent: PurePosixPath) -> None:
        self._parent = parent
        self._roots = tuple(dict.fromkeys(roots))
        self._parents = tuple(root / parent for root in self._roots)
        self._parents_made = False

    # What the versions do differently

    @abstractmethod
    def below(self, parent: str) -> "CgroupDriver":
        """Return a driver for another parent, which shares all that does not depend on that.

        Raises:
            InvalidRequest: ``parent`` is empty or leads elsewhere.
        """

    @abstractmethod
    def machine(self) -> Machine:
        """What limits are measured against here."""

    @abstractmethod
    def update(self, container: ContainerId, resources: Resources, *, whole: bool = False) -> None:
        """Set the limits that are given; the others stay, or with ``whole`` become the kernel's
        defaults.

        Raises:
            DriverError: the kernel refuses, for example a memory limit below what is in use.
        """

    @abstractmethod
    def entry(self, container: ContainerId) -> Entry:
        """How a process gets in."""

    @abstractmethod
    def oom_counters(self, container: ContainerId) -> tuple[tuple[str, str], ...]:
        """Files, and the key in each, that count the processes killed for want of memory."""

    @abstractmethod
    def stats(self, container: ContainerId) -> Counters:
        """What it uses now, and has used. Zeroes when it is gone."""

    @abstractmethod
    def freeze(self, container: ContainerId) -> None:
        """Stop every process where it is; returns when they stand.

        Raises:
            DriverError: one did not stop in time; all have been let go again.
        """

    @abstractmethod
    def thaw(self, container: ContainerId) -> None:
        """Let them go on."""

    @abstractmethod
    def is_frozen(self, container: ContainerId) -> bool:
        """Whether all stand still."""

    @abstractmethod
    def populated(self, container: ContainerId) -> bool:
        """Whether there is any process in it."""

    @abstractmethod
    def _make_parents(self) -> None:
        """Have the parent everywhere, with what its children need from it."""

    @abstractmethod
    def _set_devices(
        self, container: ContainerId, resources: Resources, *, all_devices: bool
    ) -> None:
        """Permit the device nodes that it may use."""

    @abstractmethod
    def _kill_at_once(self, container: ContainerId) -> bool:
        """``cgroup.kill`` where the kernel has it; False where not."""

    # What they do alike

    def prepare(
        self, container: ContainerId, resources: Resources, *, all_devices: bool = False
    ) -> None:
        """Have the cgroups with their limits; makes what is missing, so it also repairs.

        ``all_devices`` is for a privileged container: every device node may be used.

        Raises:
            DriverError: the kernel refuses.
        """
        try:
            self._make(container)
        except OSError as error:
            raise DriverError(f"make cgroup of {container}: {error.strerror}") from error
        self.update(container, resources)
        self._set_devices(container, resources, all_devices=all_devices)

    def _make(self, container: ContainerId) -> None:
        if not self._parents_made:
            self._make_parents()
            self._parents_made = True
        for parent in self._parents:
            try:
                _make_directory(parent / container)
            except FileNotFoundError:  # somebody has removed the parent
                self._make_parents()
                _make_directory(parent / container)

    def check(self, container: ContainerId, pid: int | None = None) -> Presence:
        """Whether the cgroups are all there, and a process of the container in each of them."""
        found = [directory.is_dir() for directory in self._directories(container)]
        if not any(found):
            return Presence.ABSENT
        whole = all(found) and (pid is None or self.holds(container, pid))
        return Presence.RIGHT if whole else Presence.DAMAGED

    def holds(self, container: ContainerId, pid: int) -> bool:
        """Whether a process is in all of a container's cgroups. One that has ended is nobody's
        damage.
        """
        places = self._places(container, pid)
        return not places or sum(places) == len(self._parents) or _has_ended(pid)

    def has(self, container: ContainerId, pid: int) -> bool:
        """Whether a process that lives is in all of a container's cgroups."""
        places = self._places(container, pid)
        return bool(places) and sum(places) == len(self._parents)

    def _places(self, container: ContainerId, pid: int) -> list[bool]:
        """For every hierarchy, whether the process is in a cgroup of the container.
        proc_pid_cgroup(5).
        """
        ours = f"/{self._parent}/{container}".encode()
        return [ours in membership for membership in _memberships(pid)]

    def adopt(self, container: ContainerId, pid: int, is_there: Callable[[], bool]) -> None:
        """Bring a process and its descendants, those that were moved out, back into the container's
        cgroups.

        Args:
            container: whose cgroups they are.
            pid: the first process.
            is_there: tells, by a pidfd, whether ``pid`` is still the process that is meant.

        Raises:
            DriverError: the kernel refuses.
        """
        for _ in range(_ADOPT_ROUNDS_MAX):
            strays = [one for one in _family(pid) if not self.holds(container, one)]
            if not strays:
                return
            for stray in strays:
                self._bring_back(container, stray, lambda one: is_there() and one in _family(pid))

    def _bring_back(
        self, container: ContainerId, stray: int, is_one_of_us: Callable[[int], bool]
    ) -> None:
        """Move one process, once it is known by a pidfd that the pid is that of the process that is
        meant.
        """
        try:
            pid_fd = os.pidfd_open(stray)
        except ProcessLookupError:
            return
        try:
            if is_one_of_us(stray):  # it was when the pidfd was opened, then
                for directory in self._directories(container):
                    signal.pidfd_send_signal(pid_fd, 0)
                    _move(stray, directory)
        except ProcessLookupError:  # it has ended meanwhile
            return
        finally:
            os.close(pid_fd)

    def procs_files(self, container: ContainerId) -> tuple[str, ...]:
        """The files that a process must write ``0`` into to be in all of the container's
        cgroups.
        """
        return self.entry(container).procs_files

    def pids(self, container: ContainerId) -> frozenset[int]:
        """Every process in any of its cgroups, or in those that it made below them. Rumours: they
        may end any moment.
        """
        return frozenset(
            int(pid)
            for directory in self._directories(container)
            for place in _tree(directory)
            for pid in files.read_or(place / "cgroup.procs", "").split()
        )

    def kill(self, container: ContainerId) -> None:
        """Send SIGKILL to everything in it, children born meanwhile included. They are dying when
        this returns, not dead.
        """
        if not self._kill_at_once(container):
            self._kill_frozen(container)
        for pid in self.pids(container):  # in one hierarchy but not in that which kills
            self._kill_one(container, pid)

    def _kill_frozen(self, container: ContainerId) -> None:
        """For kernels before 5.14: who stands still doesn't fork."""
        try:
            for _ in range(_KILL_ROUNDS_MAX):
                with contextlib.suppress(DriverError):  # then by rounds alone
                    self.freeze(container)
                for pid in self.pids(container):
                    self._kill_one(container, pid)
                self.thaw(container)
                if not self.populated(container):
                    return
        finally:
            self.thaw(container)

    def _kill_one(self, container: ContainerId, pid: int) -> None:
        """Through a pidfd, and only once it is known that the pid still is the container's."""
        try:
            pid_fd = os.pidfd_open(pid)
        except OSError as error:
            if error.errno == errno.ESRCH:
                return
            raise
        try:
            if any(self._places(container, pid)):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pid_fd, signal.SIGKILL)
        finally:
            os.close(pid_fd)

    def oom_kills(self, container: ContainerId) -> int:
        """How many of its processes the kernel has killed for want of memory; 0 when it is gone."""
        return sum(
            files.parse_flat(files.read_or(Path(path), "")).get(key, 0)
            for path, key in self.oom_counters(container)
        )

    def remove(self, container: ContainerId) -> None:
        """Take the cgroups away, and those that the container made below; waits, but not long, for
        the last process to leave.

        Raises:
            DriverError: something is still running in it.
        """
        deadline = time.monotonic() + REMOVE_TIMEOUT_S
        for directory in self._directories(container):
            if _remove_directory(directory):
                continue
            if not files.retry(partial(_remove_tree, directory), deadline):
                raise DriverError(f"remove {directory}: processes are still in it")

    def owned(self) -> frozenset[ContainerId]:
        """The containers that have a cgroup in any hierarchy, known to the log or not."""
        names = set[str]().union(*map(names_in, self._parents))
        return frozenset(ContainerId(name) for name in names if is_full_id(name))

    def remove_parent(self) -> None:
        """Take the empty parent away, when an instance is given up for good."""
        for parent in self._parents:
            _remove_directory(parent)
        self._parents_made = False

    def _directories(self, container: ContainerId) -> Iterator[Path]:
        return (parent / container for parent in self._parents)


def _memberships(pid: int) -> list[bytes]:
    """The lines of /proc/PID/cgroup; none when the process is gone.

    Every sweep reads this of every container; without a file object it takes a third of the time.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/cgroup", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        return os.read(descriptor, _MEMBERSHIPS_BYTES_MAX).splitlines()
    except ProcessLookupError:
        return []
    finally:
        os.close(descriptor)


def relative(parent: str) -> PurePosixPath:
    """Return a parent as a path below each hierarchy's root.

    Raises:
        InvalidRequest: it is empty or leads elsewhere.
    """
    path = PurePosixPath(parent.strip("/"))
    if not path.parts or ".." in path.parts or "\0" in parent:
        raise InvalidRequest(f"invalid cgroup parent: {parent!r}")
    return path


def _make_directory(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o755)


def _subdirectories(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return [path / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        if error.errno in files.GONE:
            return []
        raise


def _tree(directory: Path) -> Iterator[Path]:
    """A cgroup and all below it, the deepest first."""
    for child in _subdirectories(directory):
        yield from _tree(child)
    yield directory


def _remove_tree(directory: Path) -> bool:
    """Whether all of it is gone; as much as can be goes in any case."""
    removed = [_remove_directory(place) for place in _tree(directory)]
    return all(removed)


def _remove_directory(path: Path) -> bool:
    """False while there are processes or cgroups in it."""
    try:
        path.rmdir()
    except OSError as error:
        if error.errno in files.GONE:
            return True
        if error.errno == errno.EBUSY:
            return False
        raise DriverError(f"remove {path}: {error.strerror}") from error
    return True


def _family(pid: int) -> Iterator[int]:
    """A process and its descendants, from ``/proc/PID/task/TID/children``, proc_tid_children(5)."""
    yield pid
    for thread in _subdirectories(Path(f"/proc/{pid}/task")):
        for child in _children(thread):
            yield from _family(child)


def _has_ended(pid: int) -> bool:
    """Reaped, a zombie, or on its way there: an exiting process is listed in the root's cgroups at
    once.

    A PID namespace's first process may be exiting for long, until all others have gone.
    """
    stat = process_stat(pid)
    return stat is None or stat.is_exiting


def _children(thread: Path) -> list[int]:
    try:
        return [int(child) for child in (thread / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _move(pid: int, directory: Path) -> None:
    try:
        files.write(directory / "cgroup.procs", str(pid))
    except ProcessLookupError:
        return
    except OSError as error:
        raise DriverError(f"move process {pid} to {directory}: {error.strerror}") from error
