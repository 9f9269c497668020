"""Open the files of a rotated log, oldest first, plain or compressed. ``runtime/log_rotation.py``
makes them.

A file keeps its inode when it is renamed, and a compressed one names the inode whose content it
has. So a reader keeps its file open, which keeps the inode from being reused, and finds the next
file although all have been renamed meanwhile.
"""

import os
import re
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import DriverError
from engine.runtime.log_rotation import COMMENT, GZIP_HEAD, PACKED

_BLOCK_BYTES: Final = 256 << 10
_ATTEMPTS: Final = 16
"""How often the files are listed until two listings agree; they differ only while files are
renamed.
"""
_INODE: Final = re.compile(rb"inode (\d+)\0")
_HEAD_BYTES: Final = len(GZIP_HEAD) + len(COMMENT) + 20


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a log, open; the holder closes the descriptor."""

    fd: int
    inode: int
    copy_of: int = 0
    """The inode of the original file, if this is its compressed copy."""

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)


def open_parts(path: Path) -> list[Part]:
    """Return every file of a log, oldest first; none if nothing has been written yet.

    Raises:
        DriverError: one of them can't be opened.
    """
    for _ in range(_ATTEMPTS):
        before = _listed(path)
        parts = _opened(before)
        if _listed(path) == before:
            return parts
        close_parts(parts)
    raise DriverError(f"the files of the log {path} don't come to rest")


def close_parts(parts: Sequence[Part]) -> None:
    """Close all files."""
    for part in parts:
        part.close()


def _listed(path: Path) -> list[tuple[Path, int]]:
    """Return names and inodes, oldest first; of a file and its compressed copy, the file."""
    found: dict[int, tuple[Path, int]] = {}
    aside = re.compile(re.escape(path.name) + r"(?:\.(\d+)(\.gz)?)?")
    with suppress(FileNotFoundError), os.scandir(path.parent) as entries:
        for entry in entries:
            match = aside.fullmatch(entry.name)
            number = int(match[1] or 0) if match else -1
            if match and (number not in found or not match[2]):
                found[number] = (path.parent / entry.name, entry.inode())
    return [found[number] for number in sorted(found, reverse=True)]


def _opened(listed: Sequence[tuple[Path, int]]) -> list[Part]:
    parts: list[Part] = []
    try:
        for path, inode in listed:
            with suppress(FileNotFoundError):  # renamed; the next listing will show it
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                copy_of = _written_as(fd) if path.name.endswith(PACKED) else 0
                parts.append(Part(fd, inode, copy_of))
    except OSError as error:
        close_parts(parts)
        raise DriverError(f"open the log {path}") from error
    return parts


def _written_as(fd: int) -> int:
    """Return the inode that a compressed file names; its own if another program has compressed
    it.
    """
    match = _INODE.match(os.pread(fd, _HEAD_BYTES, 0), len(GZIP_HEAD))
    return int(match[1]) if match else os.fstat(fd).st_ino


def place_of(held: Part, parts: Sequence[Part]) -> int | None:
    """Return the index of a file that is held open, or of its compressed copy.

    An inode is reused when its file is gone, but never while the file is held open: so an older
    copy that names this inode is older than the held file, and the newest copy is the right one.
    """
    places = [index for index, part in enumerate(parts) if part.inode == held.inode]
    copies = [index for index, part in enumerate(parts) if part.copy_of == held.inode]
    return next(reversed(places or ([] if held.copy_of else copies)), None)


def open_content(part: Part, directory: Path) -> int:
    """Return a descriptor of a part's content as it was written. A compressed part is unpacked into
    an unnamed file on the log's own disk.

    Raises:
        DriverError: it is damaged, or the disk is full.
    """
    if not part.copy_of:
        return os.dup(part.fd)
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            for block in _inflated(part.fd):
                file.write(block)
            return os.dup(file.fileno())
    except (OSError, zlib.error) as error:
        raise DriverError(f"read a compressed log in {directory}: {error}") from error


def _inflated(fd: int) -> Iterator[bytes]:
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # with gzip's head and trailer
    offset = 0
    while block := os.pread(fd, _BLOCK_BYTES, offset):
        offset += len(block)
        yield reader.decompress(block)
    yield reader.flush()
