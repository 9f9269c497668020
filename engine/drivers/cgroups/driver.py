"""Manage a container's cgroups: a directory in every hierarchy.

    prepare ─▶ mkdir everywhere ─▶ limits ─▶ (init joins) ─▶ update, freeze, stats ─▶ kill
            ─▶ empty ─▶ remove: rmdir everywhere

How a process joins matters for speed. Writing a pid to ``cgroup.procs`` takes a lock that every
fork(2) and exit(2) on the machine shares, and the first writer after a quiet moment waits for an
RCU grace period: 6 to 20 ms. Two ways avoid it (measured on Linux 6.18): a single-threaded process
writes itself, as ``0``, into version 1's ``tasks`` (20 µs a hierarchy; see
``cgroup_procs_write_start()``), and clone3(2) with CLONE_INTO_CGROUP creates a process in a version
2 cgroup (0.1 ms). See :class:`Entry`.
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
from engine.drivers.cgroups import files
from engine.drivers.listing import names_in
from engine.errors import DriverError, InvalidRequest
from engine.ports.observation import Presence
from engine.ports.usage import Counters
from engine.runtime.process_stat import process_stat

_MEMBERSHIPS_BYTES_MAX: Final = 1 << 16
REMOVE_TIMEOUT_S: Final = 2.0
"""How long a removal waits for a dying process to leave the cgroup before it fails, to be retried
later.
"""

_KILL_ROUNDS_MAX: Final = 8
_ADOPT_ROUNDS_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """How a container's first process, or an exec's, joins its cgroups.

    Attributes:
        clone_into: a version 2 directory for CLONE_INTO_CGROUP, clone3(2); None where there is
            none.
        join: files into which the process, still single-threaded, writes ``0``.
    """

    clone_into: str | None
    join: tuple[str, ...]

    @property
    def procs_files(self) -> tuple[str, ...]:
        """Return all cgroups as files to write into, for a process that was not cloned into its
        cgroup: slower.
        """
        return (*self.join, f"{self.clone_into}/cgroup.procs") if self.clone_into else self.join


class CgroupDriver(ABC):
    """Cgroups of one version, below one parent. Safe to use from several threads, for different
    containers.
    """

    def __init__(self, roots: Iterable[Path], parent: PurePosixPath) -> None:
        self._parent = parent
        self._roots = tuple(dict.fromkeys(roots))
        self._parents = tuple(root / parent for root in self._roots)
        self._parents_made = False

    @property
    def roots(self) -> tuple[Path, ...]:
        """The root of every hierarchy."""
        return self._roots

    @property
    def parents(self) -> tuple[Path, ...]:
        """The parent in every hierarchy; it may not exist yet."""
        return self._parents

    # What the versions do differently

    @abstractmethod
    def below(self, parent: str) -> "CgroupDriver":
        """Return a driver for another parent, which shares everything that does not depend on the
        parent.

        Raises:
            InvalidRequest: ``parent`` is empty or contains ``..``.
        """

    @abstractmethod
    def machine(self) -> Machine:
        """Return which limits this machine supports, and its CPUs and memory nodes."""

    @abstractmethod
    def update(self, container: ContainerId, resources: Resources, *, whole: bool = False) -> None:
        """Set the given limits. The others stay, or with ``whole`` are reset to the kernel's
        defaults.

        Raises:
            DriverError: the kernel refuses, for example a memory limit below what is in use.
        """

    @abstractmethod
    def entry(self, container: ContainerId) -> Entry:
        """Return how a process joins the container's cgroups."""

    @abstractmethod
    def oom_counters(self, container: ContainerId) -> tuple[tuple[str, str], ...]:
        """Return files, and the key in each, that count the processes killed for lack of memory."""

    @abstractmethod
    def stats(self, container: ContainerId) -> Counters:
        """Return present and accumulated usage; zeroes when the cgroup is gone."""

    @abstractmethod
    def freeze(self, container: ContainerId) -> None:
        """Freeze every process; return when all are frozen.

        Raises:
            DriverError: one did not freeze in time; all have been thawed again.
        """

    @abstractmethod
    def thaw(self, container: ContainerId) -> None:
        """Thaw all processes."""

    @abstractmethod
    def is_frozen(self, container: ContainerId) -> bool:
        """True if all processes are frozen."""

    @abstractmethod
    def populated(self, container: ContainerId) -> bool:
        """True if there is any process in it."""

    @abstractmethod
    def _make_parents(self) -> None:
        """Create the parent in every hierarchy, and enable there what its children need."""

    @abstractmethod
    def _set_devices(
        self, container: ContainerId, resources: Resources, *, all_devices: bool
    ) -> None:
        """Permit the device nodes that the container may use."""

    @abstractmethod
    def _kill_at_once(self, container: ContainerId) -> bool:
        """Kill through ``cgroup.kill``; return False where the kernel lacks it."""

    # What the versions have in common

    def prepare(
        self, container: ContainerId, resources: Resources, *, all_devices: bool = False
    ) -> None:
        """Create or repair the cgroups, with their limits.

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
            except FileNotFoundError:  # another program has removed the parent
                self._make_parents()
                _make_directory(parent / container)

    def check(self, container: ContainerId, pid: int | None = None) -> Presence:
        """Return whether all cgroups exist, and whether a process of the container is in each of
        them.
        """
        if pid is not None and self.are_all(container, memberships(pid)):  # so all of them exist
            return Presence.RIGHT
        found = [os.path.isdir(f"{parent}/{container}") for parent in self._parents]  # noqa: PTH112  (in a hurry)
        if not any(found):
            return Presence.ABSENT
        whole = all(found) and (pid is None or self.holds(container, pid))
        return Presence.RIGHT if whole else Presence.DAMAGED

    def holds(self, container: ContainerId, pid: int) -> bool:
        """True if a process is in all of a container's cgroups, or has ended: then nothing is
        damaged.
        """
        places = self._places(container, pid)
        return not places or sum(places) == len(self._parents) or _has_ended(pid)

    def are_all(self, container: ContainerId, memberships: bytes) -> bool:
        """True if these memberships of a process are all of a container's cgroups.

        Those of a process that has ended are not.
        """
        ours = f"/{self._parent}/{container}".encode()
        return sum(ours in line for line in memberships.splitlines()) == len(self._parents)

    def _places(self, container: ContainerId, pid: int) -> list[bool]:
        """Return, for every hierarchy, whether the process is in a cgroup of the container."""
        ours = f"/{self._parent}/{container}".encode()
        return [ours in line for line in memberships(pid).splitlines()]

    def adopt(self, container: ContainerId, pid: int, is_there: Callable[[], bool]) -> None:
        """Move a process and its descendants back into the container's cgroups if they were moved
        out.

        Args:
            container: whose cgroups they are.
            pid: the first process.
            is_there: checks, through a pidfd, that ``pid`` is still the intended process.

        Raises:
            DriverError: the kernel refuses.
        """
        for _ in range(_ADOPT_ROUNDS_MAX):
            strays = [one for one in _process_tree(pid) if not self.holds(container, one)]
            if not strays:
                return
            for stray in strays:
                self._move_back(
                    container, stray, lambda one: is_there() and one in _process_tree(pid)
                )

    def _move_back(
        self, container: ContainerId, stray: int, is_ours: Callable[[int], bool]
    ) -> None:
        """Move one process, after checking through a pidfd that the pid was not reused."""
        try:
            pid_fd = os.pidfd_open(stray)
        except ProcessLookupError:
            return
        try:
            if is_ours(stray):  # then it was so when the pidfd was opened, too
                for directory in self._directories(container):
                    signal.pidfd_send_signal(pid_fd, 0)
                    _move(stray, directory)
        except ProcessLookupError:  # it has ended meanwhile
            return
        finally:
            os.close(pid_fd)

    def procs_files(self, container: ContainerId) -> tuple[str, ...]:
        """Return the files that a process must write ``0`` into to join all of the container's
        cgroups.
        """
        return self.entry(container).procs_files

    def pids(self, container: ContainerId) -> frozenset[int]:
        """Return every pid in any of its cgroups, or in cgroups that the container created below
        them. A process may end at any moment, and its pid be reused.
        """
        return frozenset(
            int(pid)
            for directory in self._directories(container)
            for place in _tree(directory)
            for pid in files.read_or(place / "cgroup.procs", "").split()
        )

    def kill(self, container: ContainerId) -> None:
        """Send SIGKILL to everything in it, including children born meanwhile. The processes are
        dying when this returns, but may not have ended yet.
        """
        if not self._kill_at_once(container):
            self._kill_frozen(container)
        for pid in self.pids(container):  # in one hierarchy, but not in the one that kills
            self._kill_one(container, pid)

    def _kill_frozen(self, container: ContainerId) -> None:
        """Kill on kernels before 5.14: freeze first, because frozen processes don't fork."""
        try:
            for _ in range(_KILL_ROUNDS_MAX):
                with contextlib.suppress(DriverError):  # then kill without freezing
                    self.freeze(container)
                for pid in self.pids(container):
                    self._kill_one(container, pid)
                self.thaw(container)
                if not self.populated(container):
                    return
        finally:
            self.thaw(container)

    def _kill_one(self, container: ContainerId, pid: int) -> None:
        """Kill one process through a pidfd, after checking that the pid still belongs to the
        container.
        """
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
        """Return how many of its processes the kernel has killed for lack of memory; 0 when the
        cgroup is gone.
        """
        return sum(
            files.parse_flat(files.read_or(Path(path), "")).get(key, 0)
            for path, key in self.oom_counters(container)
        )

    def remove(self, container: ContainerId) -> None:
        """Remove the cgroups, and those that the container created below; wait up to
        REMOVE_TIMEOUT_S for the last process to leave.

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
        """Return the containers that have a cgroup in any hierarchy, whether the log has them or
        not.
        """
        names = set[str]().union(*map(names_in, self._parents))
        return frozenset(ContainerId(name) for name in names if is_full_id(name))

    def _directories(self, container: ContainerId) -> Iterator[Path]:
        return (parent / container for parent in self._parents)


def memberships(pid: int) -> bytes:
    """Return the text of ``/proc/PID/cgroup``, a line for each hierarchy; none when the process is
    gone. proc_pid_cgroup(5).

    Every sweep reads this of every container; without a file object it takes a third of the time.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/cgroup", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.read(descriptor, _MEMBERSHIPS_BYTES_MAX)
    except ProcessLookupError:
        return b""
    finally:
        os.close(descriptor)


def relative(parent: str) -> PurePosixPath:
    """Return a parent as a path relative to each hierarchy's root.

    Raises:
        InvalidRequest: it is empty or contains ``..``.
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
    """Yield a cgroup and all below it, the deepest first."""
    for child in _subdirectories(directory):
        yield from _tree(child)
    yield directory


def _remove_tree(directory: Path) -> bool:
    """Remove a tree as far as possible; return True if all of it is gone."""
    removed = [_remove_directory(place) for place in _tree(directory)]
    return all(removed)


def _remove_directory(path: Path) -> bool:
    """Remove one directory; return False while it holds processes or cgroups."""
    try:
        path.rmdir()
    except OSError as error:
        if error.errno in files.GONE:
            return True
        if error.errno == errno.EBUSY:
            return False
        raise DriverError(f"remove {path}: {error.strerror}") from error
    return True


def _process_tree(pid: int) -> Iterator[int]:
    """Yield a process and its descendants, from ``/proc/PID/task/TID/children``,
    proc_tid_children(5).
    """
    yield pid
    for thread in _subdirectories(Path(f"/proc/{pid}/task")):
        for child in _children(thread):
            yield from _process_tree(child)


def _has_ended(pid: int) -> bool:
    """True if a process is reaped, a zombie, or exiting: an exiting process is listed in the root's
    cgroups at once.

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
