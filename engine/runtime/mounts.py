"""Mount a container's root file system and make it the root.

Theory of operation::

    host's mount namespace   clone_sources()   clone every bind source and cgroup hierarchy as a
                                               detached mount, while the host's paths are visible
    new mount namespace      mount_root()      make all mounts private; then mount the overlay
                             mount_all()       mount what config.json lists, in its order; attach
                                               detached mounts
                             mask() …          hide or protect paths
                             pivot()           make the overlay the root, and detach the host's

Nothing is ever mounted in the host's own namespace: when the process dies meanwhile, the kernel
removes everything. Destinations are descriptors (:mod:`engine.runtime.inside`), so a link inside an
image can't lead a mount outside.
"""

import errno
import os
import posixpath
import stat
from collections.abc import Iterable
from typing import Final

from engine.runtime import linux as k
from engine.runtime.bundle import Mount, Overlay
from engine.runtime.failure import SetupFailed, refusal
from engine.runtime.inside import Place, ensure_directory, ensure_file, open_inside
from engine.runtime.mount_options import MountOptions, parse_mount_options

_PAGE_BYTES: Final = 4096
_KERNEL_FILESYSTEMS: Final = ("proc", "sysfs")
_NULL: Final = os.makedev(1, 3)


def clone_bind(mount: Mount) -> int:
    """Return a detached copy of what is at a path of the host, with its attributes set; the caller
    closes the descriptor.

    Raises:
        SetupFailed: nothing is there.
    """
    source, options = mount.get("source", ""), parse_mount_options(mount.get("options", ()))
    recursion = k.AT_RECURSIVE if options.bind & k.MS_REC else 0
    try:
        fd = k.open_tree(k.AT_FDCWD, source, k.OPEN_TREE_CLONE | recursion)
    except OSError as error:
        raise refusal(f"{_mounting(mount)}: stat {source}", error) from error
    _change(fd, options)
    return fd


def clone_joined(mount: Mount, owner_fd: int) -> int:
    """Return a detached copy of what is at a path in another mount namespace; the caller closes the
    descriptor.

    The process enters that namespace for a moment, and looks up the path below its root:
    open_tree(2) copies only what is mounted in the caller's own.

    Raises:
        SetupFailed: nothing is mounted there.
    """
    home_fd = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    home_root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    k.setns(owner_fd, k.CLONE_NEWNS)
    try:
        root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        place_fd = open_inside(root_fd, mount["source"], os.O_PATH | os.O_DIRECTORY)
        fd = k.open_tree(place_fd, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE)
    except OSError as error:
        raise refusal(_mounting(mount), error) from error
    finally:
        k.setns(home_fd, k.CLONE_NEWNS)
        os.fchdir(home_root_fd)
        os.chroot(".")
    _change(fd, parse_mount_options(mount.get("options", ())))
    return fd


def _change(fd: int, options: MountOptions) -> None:
    """Set the requested attributes and propagation of a detached bind mount."""
    own, below = options.attributes(), options.recursive_attributes()
    if own.set or own.clear:
        k.mount_setattr(fd, "", k.AT_EMPTY_PATH, own.set, own.clear)
    if below.set or below.clear:
        k.mount_setattr(fd, "", k.AT_EMPTY_PATH | k.AT_RECURSIVE, below.set, below.clear)
    propagation = options.propagation or k.MS_PRIVATE | k.MS_REC
    recursion = k.AT_RECURSIVE if propagation & k.MS_REC else 0
    k.mount_setattr(fd, "", k.AT_EMPTY_PATH | recursion, propagation=propagation & ~k.MS_REC)


def mount_overlay(overlay: Overlay, target: str) -> None:
    """Mount a container's layers at a path of the host, in this mount namespace.

    All options must fit into one page, mount(2), so layers have short names: relative to the
    directory that holds the lowest one, which becomes the working directory.

    Raises:
        SetupFailed: too many layers for the page.
        OSError: as mount(2).
    """
    layers = posixpath.dirname(overlay["lower"][-1])
    os.chdir(layers)
    lower = ":".join(_escaped(posixpath.relpath(path, layers), ":") for path in overlay["lower"])
    upper, work = (_escaped(posixpath.relpath(overlay[key], layers)) for key in ("upper", "work"))
    # Turned off, whatever the machine's defaults are: with them a layer would depend on other
    # layers.
    whole = "index=off,metacopy=off,redirect_dir=off"
    text = f"lowerdir={lower},upperdir={upper},workdir={work},{whole}"
    if len(os.fsencode(text)) >= _PAGE_BYTES:
        raise SetupFailed(f"{len(overlay['lower'])} layers are too many for one overlay mount")
    k.mount("overlay", target, "overlay", 0, text)


def _escaped(path: str, more: str = "") -> str:
    for character in ("\\", ",", *more):
        path = path.replace(character, "\\" + character)
    return path


def attach(mount_fd: int, place_fd: int) -> None:
    """Attach a detached mount at an opened path."""
    flags = k.MOVE_MOUNT_F_EMPTY_PATH | k.MOVE_MOUNT_T_EMPTY_PATH
    k.move_mount(mount_fd, "", place_fd, "", flags)


def by_descriptor(fd: int) -> str:
    """Return a path that leads to an opened file without being resolved again, while the host's
    /proc is there: proc(5).
    """
    return f"/proc/self/fd/{fd}"


def attach_bind(root_fd: int, mount: Mount, clone_fd: int) -> None:
    """Attach the clone of a bind source at its destination, which is created if missing: a
    directory or a file.
    """
    is_directory = stat.S_ISDIR(os.fstat(clone_fd).st_mode)
    try:
        place = (ensure_directory if is_directory else ensure_file)(root_fd, mount["destination"])
        if stat.S_ISDIR(os.fstat(place.fd).st_mode) is not is_directory:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        attach(clone_fd, place.fd)
        os.close(place.fd)
    except OSError as error:
        failure = refusal(
            f"{_mounting(mount)}: mount {mount.get('source')}:{mount['destination']}", error
        )
        if error.errno == errno.ENOTDIR:
            failure.args = (f"{failure}: {_WRONG_KIND}",)
        raise failure from error


_WRONG_KIND: Final = (
    "Are you trying to mount a directory onto a file (or vice-versa)? "
    "Check if the specified host path exists and is the expected type"
)


def mount_filesystem(root_fd: int, mount: Mount) -> None:
    """Mount a new file system (proc, tmpfs, devpts …) at its destination.

    Raises:
        SetupFailed: the kernel refused, or a link is where the kernel's own file systems belong:
            the paths to be masked below them would be elsewhere.
    """
    kind, options = mount["type"], parse_mount_options(mount.get("options", ()))
    try:
        place = _place_for(root_fd, mount)
        text = options.data
        if kind == "tmpfs" and not place.made:
            mode = stat.S_IMODE(os.fstat(place.fd).st_mode)
            text = f"mode={mode:o},{text}".rstrip(
                ","
            )  # what was said about it comes later and wins
        k.mount(mount.get("source", kind), by_descriptor(place.fd), kind, options.flags, text)
        os.close(place.fd)
        if options.propagation:
            _propagate(root_fd, mount["destination"], options.propagation)
    except OSError as error:
        raise refusal(_mounting(mount), error) from error


def _place_for(root_fd: int, mount: Mount) -> Place:
    destination = mount["destination"]
    place = ensure_directory(root_fd, destination)
    if mount["type"] in _KERNEL_FILESYSTEMS:
        try:
            os.close(open_inside(root_fd, destination, os.O_PATH, k.RESOLVE_NO_SYMLINKS))
        except OSError as error:
            reason = f"filesystem {mount['type']!r} must be mounted on ordinary directory"
            raise SetupFailed(reason, error.errno or 0) from error
    return place


def _propagate(root_fd: int, destination: str, propagation: int) -> None:
    fd = open_inside(root_fd, destination, os.O_PATH)
    recursion = k.AT_RECURSIVE if propagation & k.MS_REC else 0
    k.mount_setattr(fd, "", k.AT_EMPTY_PATH | recursion, propagation=propagation & ~k.MS_REC)
    os.close(fd)


def make_read_only(root_fd: int, paths: Iterable[str]) -> None:
    """Bind each path read-only onto itself; skip paths that don't exist."""
    for path in paths:
        fd = _open_if_there(root_fd, path)
        if fd is None:
            continue
        clone_fd = k.open_tree(fd, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE | k.AT_RECURSIVE)
        k.mount_setattr(clone_fd, "", k.AT_EMPTY_PATH | k.AT_RECURSIVE, k.MOUNT_ATTR_RDONLY)
        attach(clone_fd, fd)
        os.close(clone_fd)
        os.close(fd)


def mask(root_fd: int, paths: Iterable[str]) -> None:
    """Cover each path with an empty, read-only directory or the null device; skip paths that don't
    exist.
    """
    empty_fd = null_fd = -1
    for path in paths:
        fd = _open_if_there(root_fd, path)
        if fd is None:
            continue
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            null_fd = _open_null(root_fd) if null_fd < 0 else null_fd
            _attach_clone(null_fd, fd)
        elif empty_fd < 0:
            k.mount("tmpfs", by_descriptor(fd), "tmpfs", k.MS_RDONLY, "nr_inodes=1")
            empty_fd = open_inside(root_fd, path, os.O_PATH)
        else:
            _attach_clone(empty_fd, fd)
        os.close(fd)


def _attach_clone(source_fd: int, place_fd: int) -> None:
    clone_fd = k.open_tree(source_fd, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE)
    attach(clone_fd, place_fd)
    os.close(clone_fd)


def _open_null(root_fd: int) -> int:
    """Open the container's own null device, and check that it is one."""
    fd = open_inside(root_fd, "dev/null", os.O_PATH)
    found = os.fstat(fd)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _NULL:
        raise SetupFailed("/dev/null is not the null device")
    return fd


def _open_if_there(root_fd: int, path: str) -> int | None:
    try:
        return open_inside(root_fd, path, os.O_PATH)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise


def pivot(root_fd: int, *, read_only: bool) -> None:
    """Make an opened root file system the root of this mount namespace and detach the old one.
    pivot_root(2).
    """
    if read_only:
        k.mount_setattr(root_fd, "", k.AT_EMPTY_PATH, k.MOUNT_ATTR_RDONLY)
    os.fchdir(root_fd)
    k.pivot_root(".", ".")  # the old root is now on top of the new one
    k.umount2(".", k.MNT_DETACH)
    os.chdir("/")


def _mounting(mount: Mount) -> str:
    source = mount.get("source") or mount.get("type", "")
    return f'error mounting "{source}" to rootfs at "{mount["destination"]}"'
