"""Open paths inside a root file system that may be malicious, without leaving it.

Any part of a path of an image may be a symbolic link to the host. So the kernel resolves each path,
below a descriptor of the root and with RESOLVE_IN_ROOT (openat2(2)); nothing here joins a path of
the image to one of the host. What is opened is used by its descriptor, never by its name again.
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
_BLOCK_BYTES: Final = 64 << 10
_RETRIES: Final = 128
"""openat2(2) answers EAGAIN when a rename on the machine raced with ``..``; each retry makes
another failure less likely.
"""


class Place(NamedTuple):
    """A path to mount on, opened with O_PATH; the caller closes the descriptor."""

    fd: int
    made: bool
    """Whether it was created here."""


def open_inside(root_fd: int, path: str, flags: int, resolve: int = 0) -> int:
    """Open the path that a process with the root ``root_fd`` would open; the caller closes the
    descriptor.

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
    """Open the directory at a path; create it and its parents if missing.

    Raises:
        OSError: ENOTDIR if something else is there.
    """
    return _ensure(root_fd, path, mode, os.O_PATH | os.O_DIRECTORY, _make_directory, _LINKS_MAX)


def ensure_file(root_fd: int, path: str) -> Place:
    """Open whatever is at a path; create an empty file and its parents if nothing is."""
    return _ensure(root_fd, path, _FILE_MODE, os.O_PATH, _make_file, _LINKS_MAX)


def open_parent(root_fd: int, path: str) -> tuple[int, str]:
    """Return a descriptor of the directory that holds a path, created if missing, and the path's
    last component.
    """
    parent, name = posixpath.split(path.rstrip("/"))
    if name in ("", ".", ".."):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    return ensure_directory(root_fd, parent).fd, name


def read_regular_file(root_fd: int, path: str, size_max: int) -> bytes:
    """Return a regular file's content; empty if there is none. A device or a pipe in the image must
    not block us.

    Raises:
        OSError: EFBIG beyond ``size_max`` bytes.
    """
    try:
        fd = open_inside(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        # No such file, or it can't be read: an image need not have it.
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EACCES):
            return b""
        raise
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return b""
        if found.st_size > size_max:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        content = bytearray()
        while piece := os.read(fd, min(_BLOCK_BYTES, size_max + 1 - len(content))):
            content += piece
    finally:
        os.close(fd)
    if len(content) > size_max:  # it has grown meanwhile
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return bytes(content)


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
        # A dangling symbolic link: create its target, as a process inside would do it.
        target = os.readlink(name, dir_fd=parent_fd)
    finally:
        os.close(parent_fd)
    aim = posixpath.join(posixpath.dirname(path.rstrip("/")), target)
    return _ensure(root_fd, aim, mode, flags, make, links - 1)
