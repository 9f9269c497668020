"""Mount a container's files where no process sees them; the mount ends with its descriptor.

Theory of operation. A caller that needs a container's files gets a descriptor of a *clone* of its
mounts (OPEN_TREE_CLONE, open_tree(2)). It is attached nowhere, so no mount table shows it, nothing
has to be unmounted, and a daemon that is killed leaves nothing::

    running       a thread joins the container's mount namespace ─▶ clones "/" ─▶ ends
    not running   a thread enters a new mount namespace ─▶ mounts the overlay and the binds there
                  ─▶ clones that ─▶ ends, and the namespace with it

The threads have a root and a working directory of their own (CLONE_FS) and make only system calls
there: no file is opened by name, nothing is imported or executed (CVE-2019-14271). All reading and
writing happens on other threads, outside of the container, through the descriptor; the kernel
resolves paths below it (RESOLVE_IN_ROOT), so that a symlink which is swapped meanwhile leads within
the container as well (CVE-2018-15664).

A view for reading is mounted read-only. If the container does not run, its writable layer is one of
the lower layers, under a temporary layer in memory that holds the mount points: so a start may
mount the same directory for writing.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from engine.domain import naming
from engine.domain.container.events import ProcessIdentity
from engine.domain.container.oci import HostSide, oci_config
from engine.domain.container.state import Container
from engine.drivers.images.content import Content
from engine.drivers.networks.netns import on_own_thread
from engine.drivers.processes.identity import open_process
from engine.drivers.storage.files import disk_error
from engine.drivers.storage.rootfs import Rootfs
from engine.errors import DriverError
from engine.ports.files import ProcessGone
from engine.runtime import linux as k
from engine.runtime.bundle import Mount
from engine.runtime.failure import SetupFailed
from engine.runtime.mounts import attach_bind, clone_bind, mount_overlay

_HERE: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_PROPAGATIONS: Final = ("private", "shared", "slave", "unbindable")


class Purpose(Enum):
    """What a view is for."""

    READ = "read"
    """Read, with everything that is mounted in the container."""
    WRITE = "write"
    """Read and write, with everything that is mounted in the container."""
    EXPORT = "export"
    """Read the root file system alone."""


@dataclass(frozen=True, slots=True)
class Views:
    """Makes views. All methods block; the caller closes the descriptors."""

    data_root: Path
    exec_root: Path
    rootfs: Rootfs
    content: Content

    def open(self, container: Container, purpose: Purpose) -> int:
        """Return a descriptor of a container's root.

        Raises:
            ProcessGone: the log says that it runs, but it has ended.
            DriverError: the kernel refuses.
        """
        try:
            if container.process is not None:
                return _of_running(container.process, purpose)
            return self._of_stopped(container, purpose)
        except SetupFailed as refused:
            raise DriverError(str(refused)) from refused
        except OSError as error:
            raise disk_error(f"open the files of container {container.id}", error) from error

    def open_image(self, container: Container) -> int:
        """Return a descriptor of the root of its image, without the container's changes.

        Raises:
            DriverError: the kernel refuses.
        """
        lower = self.content.lower_directories(container.spec.image_id)
        try:
            return self._assembled(lower, None, (), Purpose.EXPORT)
        except OSError as error:
            raise disk_error(f"open the image of container {container.id}", error) from error

    def _of_stopped(self, container: Container, purpose: Purpose) -> int:
        lower = self.content.lower_directories(container.spec.image_id)
        upper = self.rootfs.upper(container.id)
        binds = () if purpose is Purpose.EXPORT else self._binds(container)
        if purpose is Purpose.WRITE:
            self.rootfs.make(container.id, lower[0])
            return self._assembled(lower, upper, binds, purpose)
        if self.rootfs.exists(container.id):
            lower = (upper, *lower)
        return self._assembled(lower, None, binds, purpose)

    def _binds(self, container: Container) -> tuple[Mount, ...]:
        """Return what Docker mounts for a copy: existing paths of the host, but nothing that is in
        memory.
        """
        directory = naming.container_directory(self.data_root, container.id)
        host = HostSide(
            rootfs="",
            hosts=str(directory / "hosts"),
            hostname=str(directory / "hostname"),
            resolv_conf=str(directory / "resolv.conf"),
        )
        return tuple(
            _private(mount)
            for mount in oci_config(container, host)["mounts"]
            if mount["type"] == "bind" and Path(mount["source"]).exists()
        )

    def _assembled(
        self, lower: tuple[Path, ...], upper: Path | None, binds: Iterable[Mount], purpose: Purpose
    ) -> int:
        place = naming.view_directory(self.exec_root)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return on_own_thread(lambda: _assemble(place, lower, upper, tuple(binds), purpose))


def _of_running(process: ProcessIdentity, purpose: Purpose) -> int:
    pidfd = open_process(process)
    if pidfd is None:
        raise ProcessGone("the container's process has just ended")
    try:
        return on_own_thread(lambda: _clone_inside(pidfd, purpose))
    except ProcessLookupError as gone:  # it was exiting and has left its namespaces
        raise ProcessGone("the container's process has just ended") from gone
    finally:
        os.close(pidfd)


def _clone_inside(pidfd: int, purpose: Purpose) -> int:
    k.unshare(k.CLONE_FS)
    k.setns(pidfd, k.CLONE_NEWNS)
    return _detached(k.AT_FDCWD, "/", purpose)


def _detached(directory_fd: int, path: str, purpose: Purpose) -> int:
    """Return a clone of the mount at a path, which receives no mount propagation."""
    recursion = 0 if purpose is Purpose.EXPORT else k.AT_RECURSIVE
    empty = 0 if path else k.AT_EMPTY_PATH
    tree_fd = k.open_tree(directory_fd, path, k.OPEN_TREE_CLONE | recursion | empty)
    try:
        rights = 0 if purpose is Purpose.WRITE else k.MOUNT_ATTR_RDONLY
        k.mount_setattr(
            tree_fd, "", k.AT_EMPTY_PATH | recursion, attr_set=rights, propagation=k.MS_PRIVATE
        )
    except BaseException:
        os.close(tree_fd)
        raise
    return tree_fd


def _assemble(
    place: Path,
    lower: tuple[Path, ...],
    upper: Path | None,
    binds: tuple[Mount, ...],
    purpose: Purpose,
) -> int:
    k.unshare(k.CLONE_FS | k.CLONE_NEWNS)
    k.mount("none", "/", None, k.MS_REC | k.MS_PRIVATE)
    clones: list[tuple[Mount, int]] = []
    root_fd = -1
    try:
        for bind in binds:
            clones.append((bind, clone_bind(bind)))  # noqa: PERF401  (a failure closes what there is)
        root_fd = _mount_root(place, lower, upper)
        for bind, clone_fd in clones:
            attach_bind(root_fd, bind, clone_fd)
        if upper is None:
            _copy_root_attributes(root_fd, lower[0])
        return _detached(root_fd, "", purpose)
    finally:
        for fd in (root_fd, *(clone_fd for _, clone_fd in clones)):
            if fd >= 0:
                os.close(fd)


def _private(bind: Mount) -> Mount:
    """Return a bind without mount propagation to the host, whatever the container's options."""
    kept = [option for option in bind["options"] if option.removeprefix("r") not in _PROPAGATIONS]
    return {**bind, "options": [*kept, "rprivate"]}


def _mount_root(place: Path, lower: tuple[Path, ...], upper: Path | None) -> int:
    """Mount the overlay below ``place`` and return its descriptor; without ``upper``, over a
    writable layer in memory.
    """
    k.mount("tmpfs", str(place), "tmpfs", 0, "mode=700")
    directories = {name: place / name for name in ("root", "upper", "work")}
    for directory in directories.values():
        directory.mkdir(mode=0o755)
    mount_overlay(
        {
            "lower": [str(path) for path in lower],
            "upper": str(upper or directories["upper"]),
            "work": str(upper.with_name("work") if upper else directories["work"]),
        },
        str(directories["root"]),
    )
    return os.open(directories["root"], _HERE)


def _copy_root_attributes(root_fd: int, model: Path) -> None:
    """Give the root of the in-memory layer the owner, mode and times of the topmost real layer's
    root.
    """
    found = model.stat()
    where = f"/proc/self/fd/{root_fd}"
    os.chown(where, found.st_uid, found.st_gid)
    os.chmod(where, stat.S_IMODE(found.st_mode))  # noqa: PTH101  (not a path)
    os.utime(where, ns=(found.st_atime_ns, found.st_mtime_ns))
