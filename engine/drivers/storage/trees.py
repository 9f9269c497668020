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
    """Where things go to be deleted: on the same filesystem, so that going there is one rename."""
    return data_root / "trash"


def incoming_directory(data_root: Path) -> Path:
    """Where things are made before a rename makes them true."""
    return data_root / "incoming"


def remove_tree(path: Path, data_root: Path, *, dir_fd: int | None = None) -> None:
    """Take a file or a tree away at once and for good; gone already is fine. A relative path is one
    of ``dir_fd``.

    The name is free when this returns. What then can't be deleted stays in the trash for
    :func:`empty_trash`.

    Raises:
        DriverError: the kernel refuses; it names what is in the way.
    """
    grave = set_aside(path, data_root, dir_fd=dir_fd)
    if grave is not None:
        bury(grave)


def set_aside(path: Path, data_root: Path, *, dir_fd: int | None = None) -> Path | None:
    """The quick half of a removal: into the trash, however big. None if there was nothing.

    Raises:
        DriverError: the kernel refuses, such as for a mount point of our own.
    """
    grave = trash_directory(data_root) / secrets.token_hex(8)
    try:
        grave.mkdir(mode=0o700, parents=True)
        os.rename(path, grave / path.name, src_dir_fd=dir_fd)
    except FileNotFoundError:
        grave.rmdir()
        return None
    except OSError as error:
        with contextlib.suppress(OSError):
            grave.rmdir()
        raise DriverError(f"remove {path}: {error.strerror}") from error
    return grave


def empty_trash(data_root: Path) -> None:
    """Delete what earlier removals left, because they died or because something was in the way.

    Raises:
        DriverError: something still is; the rest is gone.
    """
    trash = trash_directory(data_root)
    problems: list[DriverError] = []
    for grave in trash.iterdir() if trash.exists() else ():
        try:
            bury(grave)
        except DriverError as problem:
            problems.append(problem)
    if problems:
        raise problems[0]


def bury(grave: Path) -> None:
    """The slow half: delete a directory of the trash.

    Directories found inside are moved up beside the others before they are looked into, so neither
    the depth of a tree nor the length of its paths matters, and two descriptors are enough.

    Raises:
        DriverError: the kernel refuses.
    """
    try:
        grave_fd = os.open(grave, DIRECTORY)
        try:
            while names := os.listdir(grave_fd):  # noqa: PTH208  (a descriptor)
                for name in names:
                    _dissolve(grave_fd, name)
            grave.rmdir()
        finally:
            os.close(grave_fd)
    except OSError as error:
        raise DriverError(f"remove {grave}: {error.strerror} ({error.filename!r})") from error


def _dissolve(grave_fd: int, name: str) -> None:
    if unlinked(grave_fd, name):
        return
    directory_fd = os.open(name, DIRECTORY, dir_fd=grave_fd)
    try:
        for child in os.listdir(directory_fd):  # noqa: PTH208  (a descriptor)
            if not unlinked(directory_fd, child):
                unique = secrets.token_hex(8)
                os.rename(child, unique, src_dir_fd=directory_fd, dst_dir_fd=grave_fd)
    finally:
        os.close(directory_fd)
    os.rmdir(name, dir_fd=grave_fd)


def size_of_tree(root: Path) -> int:
    """Bytes of all files and the targets of all symlinks; a file with several names counts once. As
    Docker counts.

    The tree may change meanwhile; what vanishes is not counted.

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
                continue  # changed under our eyes, or too deep for anybody to use
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
