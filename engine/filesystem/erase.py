"""Delete files and directory trees where they stand, however malicious."""

import errno
import os
from typing import Final

from engine.runtime import linux

DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BELOW: Final = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS


def unlinked(directory_fd: int, name: str) -> bool:
    """Delete a name that is not a directory's. Returns False for a directory."""
    try:
        os.unlink(name, dir_fd=directory_fd)
    except IsADirectoryError:
        return False
    return True


def erase(directory_fd: int, name: str) -> None:
    """Delete a file or a directory tree in place; do nothing if it does not exist.

    For trees that can't be moved to the trash: they lie on another filesystem, or in an overlay,
    where a directory of a lower layer can't be renamed. Deeper than PATH_MAX they are not deleted
    whole.

    Raises:
        OSError: the kernel refuses; ENOTEMPTY when another process fills a directory faster
            than this empties it.
    """
    pending, visited = [name], set[str]()
    while pending:
        path = pending[-1]
        parent, _, base = path.rpartition("/")
        parent_fd = linux.openat2(directory_fd, parent or ".", DIRECTORY, resolve=_BELOW)
        try:
            below = _emptied(parent_fd, base)
        finally:
            os.close(parent_fd)
        if below and path in visited:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        visited.add(path)
        if below:
            pending += [f"{path}/{child}" for child in below]
        else:
            pending.pop()


def _emptied(parent_fd: int, name: str) -> list[str]:
    """Delete a file or an empty directory; in another directory, delete the files and return the
    names of the directories that are left in it.
    """
    try:
        if unlinked(parent_fd, name):
            return []
        directory_fd = os.open(name, DIRECTORY, dir_fd=parent_fd)
        try:
            names = os.listdir(directory_fd)  # noqa: PTH208  (a descriptor)
            left = [child for child in names if not unlinked(directory_fd, child)]
        finally:
            os.close(directory_fd)
        if not left:
            os.rmdir(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return []
    return left
