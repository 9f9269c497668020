"""Read the maps of sparse files in tar archives, in GNU's four formats.

Old GNU: in the header and in blocks after it. PAX 0.0: repeated records. PAX 0.1: one record. PAX
1.0: decimal lines before the data. "The GNU tar manual", section D.2, "Storing Sparse Files".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from engine.tar.source import (
    BLOCK_BYTES,
    MalformedArchive,
    Source,
    header_number,
    padded,
    record_number,
)

Extent: TypeAlias = tuple[int, int]
"""Offset in the file, and number of bytes."""
Records: TypeAlias = Sequence[tuple[bytes, bytes]]

NAME_RECORD: Final = b"GNU.sparse.name"
_EXTENT_BYTES: Final = 24
_EXTENTS_MAX: Final = 1 << 18
_LINE_BYTES_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class SparseMap:
    """The map of a file of ``size_bytes``, holes included."""

    size_bytes: int
    extents: tuple[Extent, ...]

    def __post_init__(self) -> None:
        end = 0
        for offset, length in self.extents:
            if offset < end or length < 0:
                raise MalformedArchive("a sparse file's parts overlap")
            end = offset + length
        if end > self.size_bytes:
            raise MalformedArchive("a sparse file's part lies behind its end")


def old_gnu_map(source: Source, header: bytes, offset: int) -> tuple[SparseMap, int]:
    """Return the map in a header of type ``S`` and the blocks at ``offset``, and where the data
    begins.
    """
    extents = _header_extents(header[386:482])
    extended = header[482]
    while extended:
        block = source.read(offset, BLOCK_BYTES)
        if len(block) < BLOCK_BYTES or len(extents) > _EXTENTS_MAX:
            raise MalformedArchive("a sparse file's map has no end")
        extents += _header_extents(block[:504])
        extended = block[504]
        offset += BLOCK_BYTES
    return SparseMap(header_number(header[483:495], "size"), tuple(extents)), offset


def _header_extents(field: bytes) -> list[Extent]:
    return [
        (header_number(pair[:12], "offset"), header_number(pair[12:], "length"))
        for at in range(0, len(field), _EXTENT_BYTES)
        if (pair := field[at : at + _EXTENT_BYTES])[0]
    ]


def pax_map(
    source: Source, records: Records, offset: int, end: int
) -> tuple[SparseMap, int] | None:
    """Return the map in an entry's records, and where its data begins; None for a file without a
    map.
    """
    values = dict(records)
    size = values.get(b"GNU.sparse.realsize", values.get(b"GNU.sparse.size"))
    if size is None:
        return None
    data = offset
    if values.get(b"GNU.sparse.major") == b"1":
        numbers, data = _lines(source, offset, end)
    elif b"GNU.sparse.map" in values:
        numbers = [record_number(text) for text in values[b"GNU.sparse.map"].split(b",") if text]
    else:
        keys = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
        numbers = [record_number(value) for key, value in records if key in keys]
    if len(numbers) % 2:
        raise MalformedArchive("a sparse file's map is incomplete")
    extents = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return SparseMap(record_number(size), extents), data


def _lines(source: Source, offset: int, end: int) -> tuple[list[int], int]:
    """Read a map of lines: the number of extents, then two numbers for each; padded to a whole
    block. Return the numbers, and where the data begins.
    """
    count, at = _line(source, offset, end)
    if count > _EXTENTS_MAX:
        raise MalformedArchive("a sparse file's map has no end")
    numbers: list[int] = []
    for _ in range(2 * count):
        number, at = _line(source, at, end)
        numbers.append(number)
    return numbers, offset + padded(at - offset)


def _line(source: Source, at: int, end: int) -> tuple[int, int]:
    text, newline, _ = source.read(at, min(_LINE_BYTES_MAX, end - at)).partition(b"\n")
    if not newline:
        raise MalformedArchive("a sparse file's map is incomplete")
    return record_number(text), at + len(text) + 1
