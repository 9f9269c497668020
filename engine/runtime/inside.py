"""Open paths inside a root filesystem that may be malicious, without leaving it.

A path of an image is hostile: any part of it may be a symbolic link to the host. So the kernel
resolves each one, below a descriptor of the root and with RESOLVE_IN_ROOT (openat2(2)); nothing
here joins a path of the image to one of the host. What is opened is used by its descriptor, never
by its name again.
"""

import errno
import os
import posixpath
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

from engine.runtime import linux

_DIRECTORY_MODE: Final = 0o755
_FILE_MODE: Final = 0o644
_LINKS_MAX: Final = 40
_RETRIES: Final = 128
"""openat2(2) answers EAGAIN when a rename on the machine raced with ``..``; each retry makes it
less likely."""


class Place(NamedTuple):
    """A path to mount on, opened with O_PATH; the descriptor is the caller's."""

    fd: int
    made: bool
    """It was not there before."""


def open_inside(root_fd: int, path: str, flags: int, resolve: int = 0) -> int:
    """Open what a process whose root is ``root_fd`` would get for this path; the descriptor is the
    caller's.

    Raises:
        OSError: as open(2).
    """
    for _ in range(_RETRIES):
        try:
            return linux.openat2(root_fd, path or ".", flags, 0, linux.RESOLVE_IN_ROOT | resolve)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def ensure_directory(root_fd: int, path: str, mode: int = _DIRECTORY_MODE) -> Place:
    """The directory at a path, made with its parents where it is missing.

    Raises:
        OSError: ENOTDIR when something else stands there.
    """
    return _ensure(root_fd, path, mode, os.O_PATH | os.O_DIRECTORY, _make_directory, _LINKS_MAX)


def ensure_file(root_fd: int, path: str) -> Place:
    """What stands at a path, an empty file made with its parents where nothing does."""
    return _ensure(root_fd, path, _FILE_MODE, os.O_PATH, _make_file, _LINKS_MAX)


def open_parent(root_fd: int, path: str) -> tuple[int, str]:
    """A descriptor of the directory that holds a path, made where it is missing, and the path's
    last name.
    """
    parent, name = posixpath.split(path.rstrip("/"))
    if name in ("", ".", ".."):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    return ensure_directory(root_fd, parent).fd, name


def read_regular_file(root_fd: int, path: str, size_max: int) -> bytes:
    """A file's content, nothing when there is none: a device or a pipe left by the image must not
    make us wait.

    Raises:
        OSError: EFBIG beyond ``size_max`` bytes.
    """
    try:
        fd = open_inside(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        # No such file, or not one for us: an image without it is a sound image.
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EACCES):
            return b""
        raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        content = b""
        while piece := os.read(fd, size_max + 1 - len(content)):
            content += piece
    finally:
        os.close(fd)
    if len(content) > size_max:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return content


def _make_directory(name: str, mode: int, parent_fd: int) -> None:
    os.mkdir(name, mode, dir_fd=parent_fd)


def _make_file(name: str, mode: int, parent_fd: int) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC
    os.close(os.open(name, flags, mode, dir_fd=parent_fd))


def _ensure(
    root_fd: int,
    path: str,
    mode: int,
    flags: int,
    make: Callable[[str, int, int], None],
    links: int,
) -> Place:
    try:
        return Place(open_inside(root_fd, path, flags), made=False)
    except FileNotFoundError:
        if not links:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
    parent_fd, name = open_parent(root_fd, path)
    try:
        make(name, mode, parent_fd)
        return Place(linux.openat2(parent_fd, name, flags | os.O_NOFOLLOW), made=True)
    except FileExistsError:
        # A symbolic link to nowhere: what it points to is made, as a process inside would do it.
        target = os.readlink(name, dir_fd=parent_fd)
    finally:
        os.close(parent_fd)
    aim = posixpath.join(posixpath.dirname(path.rstrip("/")), target)
    return _ensure(root_fd, aim, mode, flags, make, links - 1)
