"""Compare a container's writable layer with its image.

In the layer, a character device 0/0 marks a deleted name, and the attribute
``trusted.overlay.opaque`` marks a directory whose content in the image is hidden (overlay(5)). A
directory is in the layer, too, when only something below it changed; so it counts as modified only
if something below it or its own owner or mode has changed. What the engine made there for its own
mounts is not a change.
"""

import errno
import os
import stat
from typing import Final

from engine.filesystem.erase import DIRECTORY
from engine.ports.files import ChangeKind, PathChange
from engine.runtime import linux as k

_OPAQUE: Final = "trusted.overlay.opaque"
_WHITEOUT: Final = os.makedev(0, 0)
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
MOUNT_POINTS: Final = frozenset(
    {
        "/.dockerenv",
        "/dev",
        "/dev/console",
        "/dev/mqueue",
        "/dev/pts",
        "/dev/shm",  # noqa: S108  (a mount point inside)
        "/etc",
        "/etc/hostname",
        "/etc/hosts",
        "/etc/mtab",
        "/etc/resolv.conf",
        "/proc",
        "/sys",
    }
)
"""Paths that exist in every container, beyond its image, as with Docker."""


def changes(upper_fd: int, image_fd: int) -> tuple[PathChange, ...]:
    """Return every changed path, parents before their children, names in byte order.

    Args:
        upper_fd: the container's own layer.
        image_fd: the root of its image.

    Raises:
        OSError: the layer can't be read.
    """
    comparison = _Comparison(upper_fd, image_fd)
    comparison.run()
    return tuple(PathChange(path, kind) for path, kind in comparison.found if kind is not None)


class _Level:
    """A directory on the present path of the walk.

    Attributes:
        index: its place in the results; whether it counts is known when all below it is.
        names: the names that are not compared yet, the next one last.
    """

    def __init__(self, path: str, index: int, names: list[str]) -> None:
        self.path = path
        self.index = index
        self.names = names


class _Comparison:
    """One walk through a layer. Directories are opened anew for each name, so the depth costs no
    descriptors.
    """

    def __init__(self, upper_fd: int, image_fd: int) -> None:
        self._upper_fd = upper_fd
        self._image_fd = image_fd
        self._levels: list[_Level] = []
        self.found: list[tuple[str, ChangeKind | None]] = []

    def run(self) -> None:
        self._descend("", None, opaque=False)
        while self._levels:
            level = self._levels[-1]
            if level.names:
                self._look(f"{level.path}/{level.names.pop()}")
            else:
                self._levels.pop()

    def _descend(self, path: str, kind: ChangeKind | None, *, opaque: bool) -> None:
        """Enter a directory; if it hides the image's, compare the image's names as well."""
        self.found.append((path, kind))
        names = set(_names(self._upper_fd, path))
        if opaque:
            names.update(_names(self._image_fd, path))
        ordered = sorted(names, key=os.fsencode, reverse=True)
        self._levels.append(_Level(path, len(self.found) - 1, ordered))

    def _look(self, path: str) -> None:
        now, before = lstat(self._upper_fd, path), lstat(self._image_fd, path)
        if now is None or is_whiteout(now):
            if before is not None:
                self._add(path, ChangeKind.DELETED)
        elif stat.S_ISDIR(now.st_mode):
            kind = kind_of_directory(path, now, before)
            if kind is not None:
                self._mark_parents()
            self._descend(path, kind, opaque=is_opaque(self._upper_fd, path))
        elif before is not None:
            self._add(path, ChangeKind.MODIFIED)
        elif path not in MOUNT_POINTS:
            self._add(path, ChangeKind.ADDED)

    def _add(self, path: str, kind: ChangeKind) -> None:
        self._mark_parents()
        self.found.append((path, kind))

    def _mark_parents(self) -> None:
        for level in reversed(self._levels[1:]):  # the root itself is never named
            path, kind = self.found[level.index]
            if kind is not None:
                return
            self.found[level.index] = (path, ChangeKind.MODIFIED)


def is_whiteout(found: os.stat_result) -> bool:
    """True if it marks a deleted name."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == _WHITEOUT


def kind_of_directory(
    path: str, now: os.stat_result, before: os.stat_result | None
) -> ChangeKind | None:
    """Return how a directory itself differs; None if it doesn't."""
    if before is None:
        return None if path in MOUNT_POINTS else ChangeKind.ADDED
    same = (before.st_mode, before.st_uid, before.st_gid) == (now.st_mode, now.st_uid, now.st_gid)
    return None if same else ChangeKind.MODIFIED


def _opened(root_fd: int, path: str, flags: int) -> int | None:
    """Open a path below a root without following symlinks; return None if it does not exist."""
    resolve = k.RESOLVE_BENEATH | k.RESOLVE_NO_SYMLINKS
    try:
        return k.openat2(root_fd, path.removeprefix("/") or ".", flags, resolve=resolve)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def _names(root_fd: int, path: str) -> list[str]:
    fd = _opened(root_fd, path, DIRECTORY)
    if fd is None:
        return []
    try:
        return os.listdir(fd)  # noqa: PTH208  (a descriptor)
    finally:
        os.close(fd)


def lstat(root_fd: int, path: str) -> os.stat_result | None:
    """Return the status of a path below a root, symlinks not followed; None if it is missing."""
    fd = _opened(root_fd, path, os.O_PATH | os.O_NOFOLLOW)
    if fd is None:
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def is_opaque(root_fd: int, path: str) -> bool:
    """True if a directory of a layer hides the image's content of the directory."""
    fd = _opened(root_fd, path, DIRECTORY)
    if fd is None:
        return False
    try:
        return os.getxattr(fd, _OPAQUE) == b"y"
    except OSError:  # it has no such attribute
        return False
    finally:
        os.close(fd)
