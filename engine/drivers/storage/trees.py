"""Measure and remove directory trees that may be malicious."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from engine.errors import DriverError
from engine.filesystem.erase import DIRECTORY, unlinked
from engine.runtime import linux


def trash_directory(data_root: Path) -> Path:
    """Return the directory for things to delete: on the same file system, so that moving them there
    is one rename.
    """
    return data_root / "trash"


def incoming_directory(data_root: Path) -> Path:
    """Return the directory for unfinished things, which a rename moves to their place."""
    return data_root / "incoming"


def remove_tree(path: Path, data_root: Path, *, dir_fd: int | None = None) -> None:
    """Delete a file or a tree; one that is gone already is fine. A relative path is relative to
    ``dir_fd``.

    The name is free when this returns. What then can't be deleted stays in the trash for
    :func:`empty_trash`.

    Raises:
        DriverError: the kernel refuses; it names the file that can't be deleted.
    """
    trashed = set_aside(path, data_root, dir_fd=dir_fd)
    if trashed is not None:
        delete_trash(trashed)


def set_aside(path: Path, data_root: Path, *, dir_fd: int | None = None) -> Path | None:
    """Move a file or a tree into the trash, at any size; return its directory there, or None if
    there was nothing.

    Raises:
        DriverError: the kernel refuses, such as for a mount point of our own.
    """
    trashed = trash_directory(data_root) / secrets.token_hex(8)
    try:
        trashed.mkdir(mode=0o700, parents=True)
        os.rename(path, trashed / path.name, src_dir_fd=dir_fd)
    except FileNotFoundError:
        trashed.rmdir()
        return None
    except OSError as error:
        with contextlib.suppress(OSError):
            trashed.rmdir()
        raise DriverError(f"remove {path}: {error.strerror}") from error
    return trashed


def empty_trash(data_root: Path) -> None:
    """Delete what earlier removals left in the trash, because of a crash or an error.

    Raises:
        DriverError: something can't be deleted; the rest is deleted.
    """
    trash = trash_directory(data_root)
    problems: list[DriverError] = []
    for trashed in trash.iterdir() if trash.exists() else ():
        try:
            delete_trash(trashed)
        except DriverError as problem:
            problems.append(problem)
    if problems:
        raise problems[0]


def delete_trash(trashed: Path) -> None:
    """Delete a directory of the trash.

    Directories found inside are moved up beside the others before they are listed, so neither the
    depth of a tree nor the length of its paths matters, and two descriptors are enough.

    Raises:
        DriverError: the kernel refuses.
    """
    try:
        trashed_fd = os.open(trashed, DIRECTORY)
        try:
            while names := os.listdir(trashed_fd):  # noqa: PTH208  (a descriptor)
                for name in names:
                    _delete_entry(trashed_fd, name)
            trashed.rmdir()
        finally:
            os.close(trashed_fd)
    except OSError as error:
        raise DriverError(f"remove {trashed}: {error.strerror} ({error.filename!r})") from error


def _delete_entry(trashed_fd: int, name: str) -> None:
    if unlinked(trashed_fd, name):
        return
    directory_fd = os.open(name, DIRECTORY, dir_fd=trashed_fd)
    try:
        for child in os.listdir(directory_fd):  # noqa: PTH208  (a descriptor)
            if not unlinked(directory_fd, child):
                unique = secrets.token_hex(8)
                os.rename(child, unique, src_dir_fd=directory_fd, dst_dir_fd=trashed_fd)
    finally:
        os.close(directory_fd)
    os.rmdir(name, dir_fd=trashed_fd)


def size_of_tree(root: Path) -> int:
    """Return the size of all files and of the targets of all symlinks, in bytes; a file with
    several names counts once, as with Docker.

    The tree may change meanwhile; files that vanish are not counted.

    Raises:
        DriverError: the tree itself can't be read.
    """
    try:
        root_fd = os.open(root, DIRECTORY)
    except OSError as error:
        raise DriverError(f"measure {root}: {error.strerror}") from error
    try:
        seen: set[int] = set()
        return sum(
            entry.st_size
            for entry in _walk(root_fd)
            if not stat.S_ISDIR(entry.st_mode) and not _again(entry, seen)
        )
    finally:
        os.close(root_fd)


def _again(entry: os.stat_result, seen: set[int]) -> bool:
    if entry.st_nlink == 1:
        return False
    before = entry.st_ino in seen
    seen.add(entry.st_ino)
    return before


def _walk(root_fd: int) -> Iterator[os.stat_result]:
    pending = ["."]
    while pending:
        path = pending.pop()
        try:
            directory_fd = linux.openat2(
                root_fd, path, DIRECTORY, resolve=linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS
            )
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
                continue  # changed meanwhile, or deeper than PATH_MAX
            raise
        try:
            with os.scandir(directory_fd) as entries:
                for entry in entries:
                    try:
                        yield entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(f"{path}/{entry.name}")
        finally:
            os.close(directory_fd)
