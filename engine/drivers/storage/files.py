"""Write files atomically."""

import errno
import os
from pathlib import Path
from typing import Final

from engine.errors import DriverError, EngineError, Unavailable
from engine.filesystem.writing import write_all

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def disk_error(act: str, error: OSError) -> EngineError:
    """Convert a failed write's error: Unavailable for a full disk, else DriverError."""
    message = f"{act}: {error.strerror or error}"
    return Unavailable(message) if error.errno in _NO_ROOM else DriverError(message)


def replace_file(path: Path, content: bytes, mode: int = 0o644, *, durable: bool = True) -> None:
    """Replace a file's content atomically: readers see the old or the new.

    Raises:
        Unavailable: the disk is full.
        DriverError: the kernel refuses for another reason.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            write_all(fd, content)
            os.fchmod(fd, mode)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        beside.replace(path)
        if durable:
            sync_directory(path.parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise disk_error(f"write {path}", error) from error


def overwrite_file(path: Path, content: bytes) -> None:
    """Write a file's content in place, for processes that have it open or mounted. A concurrent
    reader may see a part.

    Raises:
        Unavailable: the disk is full.
        DriverError: the kernel refuses for another reason.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            write_all(fd, content)
            os.ftruncate(fd, len(content))
        finally:
            os.close(fd)
    except OSError as error:
        raise disk_error(f"write {path}", error) from error


def sync_directory(directory: Path) -> None:
    """Make the names in a directory survive a power cut, fsync(2)."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
