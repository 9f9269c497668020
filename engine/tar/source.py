"""Read the bytes and numbers of a tar archive."""

import os
from typing import Final

from engine.errors import InvalidRequest

BLOCK_BYTES: Final = 512
_WINDOW_BYTES: Final = 256 * 1024


class MalformedArchive(InvalidRequest):
    """The archive is damaged, truncated, or not a tar."""

    def __init__(self, what: str) -> None:
        super().__init__(f"invalid tar archive: {what}")


class Source:
    """A file or a part of it, read at any offset. Small reads are served from a buffer that moves
    with them.
    """

    def __init__(self, fd: int, start: int = 0, size_bytes: int | None = None) -> None:
        self._fd = fd
        self._start = start
        self.size_bytes = os.fstat(fd).st_size - start if size_bytes is None else size_bytes
        self._window = b""
        self._window_offset = 0

    def part(self, offset: int, size_bytes: int) -> "Source":
        """Return a part of this file as a source."""
        assert 0 <= offset <= offset + size_bytes <= self.size_bytes
        return Source(self._fd, self._start + offset, size_bytes)

    def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes, fewer at the end."""
        count = max(0, min(count, self.size_bytes - offset))
        if count > _WINDOW_BYTES:
            return os.pread(self._fd, count, self._start + offset)
        at = offset - self._window_offset
        if at < 0 or at + count > len(self._window):
            self._window = os.pread(self._fd, _WINDOW_BYTES, self._start + offset)
            self._window_offset, at = offset, 0
        return self._window[at : at + count]


def padded(size: int) -> int:
    """Return the space that ``size`` bytes take in an archive: whole blocks."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def header_number(field: bytes, what: str) -> int:
    """Parse a number in a header: octal digits, or two's complement of all bits but the first if
    that is set.
    """
    if field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        return value - (1 << bits) if field[0] & 0x40 else value
    digits = field.partition(b"\0")[0].strip()
    try:
        return int(digits, 8) if digits else 0
    except ValueError as error:
        raise MalformedArchive(f"invalid header: bad {what}") from error


def record_number(text: bytes) -> int:
    """Parse a number in a PAX record, or in the map of a sparse file: decimal digits."""
    if not text.isdigit() or len(text) > 19:
        raise MalformedArchive("invalid PAX record")
    return int(text)
