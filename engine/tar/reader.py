"""Read tar archives that may be malicious: ustar, GNU and PAX, sparse files, xattrs.

Nothing here touches any file but the archive. The standard library's reader is not used because it
takes damage in the middle of an archive for its end, and lets a header request any amount of
memory.

    header block ─▶ 'x' PAX records ──┐   each describes the next entry, SPECIAL_BYTES_MAX at most
                    'L' long name     ├─▶ entry header ─▶ its data, in whole blocks ─▶ next header
                    'K' long link ────┘   ended by a block of zeros, or the end of the file at the
                                          end of a block

Formats: tar(5) of libarchive, pax in POSIX.1-2017, "The GNU tar manual", section D.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from engine.tar.source import (
    BLOCK_BYTES,
    MalformedArchive,
    Source,
    header_number,
    padded,
    record_number,
)
from engine.tar.sparse import (
    NAME_RECORD,
    Extent,
    SparseMap,
    old_gnu_map,
    pax_map,
)

SPECIAL_BYTES_MAX: Final = 1 << 20
"""Limit for PAX records or a long name: more is an attack on memory, not a name."""
PATH_BYTES_MAX: Final = 4096
"""PATH_MAX, limits.h."""
_ID_MAX: Final = 2**32 - 2
"""2**32 - 1 would make chown(2) leave the owner as it is."""
_ZEROS: Final = bytes(BLOCK_BYTES)
_XATTR: Final = b"SCHILY.xattr."
_SECOND_NS: Final = 1_000_000_000


class Kind(Enum):
    """What an entry creates."""

    FILE = "file"
    HARD_LINK = "hard link"
    SYMLINK = "symlink"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    DIRECTORY = "directory"
    FIFO = "fifo"


_KINDS: Final = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"S": Kind.FILE,
    b"1": Kind.HARD_LINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.CHARACTER_DEVICE,
    b"4": Kind.BLOCK_DEVICE,
    b"5": Kind.DIRECTORY,
    b"6": Kind.FIFO,
}


@dataclass(slots=True)
class Entry:
    """One file to create. Names are as in the archive, decoded by :func:`os.fsdecode`; nothing
    about them is trusted.
    """

    name: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    link: str
    device: tuple[int, int]
    xattrs: dict[str, bytes]
    size_bytes: int = 0
    data_offset: int = 0
    """Where in the archive its bytes begin."""
    extents: tuple[Extent, ...] = ()
    """The parts that have bytes, which follow each other in the archive; the rest are holes."""


@dataclass(slots=True)
class _Special:
    """What special headers say about the entry that follows them."""

    name: bytes | None = None
    link: bytes | None = None
    records: list[tuple[bytes, bytes]] = field(default_factory=list)


def read_entries(source: Source) -> Iterator[Entry]:
    """Yield the entries in order.

    Raises:
        MalformedArchive: damage, or the archive ends too early.
    """
    offset = 0
    special = _Special()
    while (header := _header(source, offset)) is not None:
        flag = header[156:157]
        offset += BLOCK_BYTES
        if flag in b"xgLK":
            offset = _remember(special, flag, source, offset, _size(header))
            continue
        entry = _entry(header, special)
        if _KINDS[flag] is Kind.FILE:
            offset = _locate_data(source, entry, header, special.records, offset)
        special = _Special()
        yield entry
    if special != _Special():
        raise MalformedArchive("unexpected EOF")


def _header(source: Source, offset: int) -> bytes | None:
    block = source.read(offset, BLOCK_BYTES)
    if not block or block == _ZEROS:
        return None
    if len(block) < BLOCK_BYTES:
        raise MalformedArchive("unexpected EOF")
    total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    expected = header_number(block[148:156], "checksum")
    if expected != total and expected != _as_signed(block, total):
        raise MalformedArchive(f"invalid header at byte {offset}")
    if block[156:157] not in _KINDS and block[156:157] not in b"xgLK":
        raise MalformedArchive(f"unknown type of entry {block[156:157]!r} at byte {offset}")
    return block


def _as_signed(block: bytes, total: int) -> int:
    """Return the checksum as very old tar programs computed it: from signed bytes."""
    return total - 256 * sum(byte > 127 for byte in block)


def _size(header: bytes) -> int:
    return header_number(header[124:136], "size")


def _remember(special: _Special, flag: bytes, source: Source, offset: int, size: int) -> int:
    if not 0 <= size <= SPECIAL_BYTES_MAX:
        raise MalformedArchive(f"an extended header of {size} bytes")
    content = source.read(offset, size)
    if len(content) < size:
        raise MalformedArchive("unexpected EOF")
    if flag == b"x":
        special.records = list(_records(content))
    elif flag == b"L":
        special.name = content.partition(b"\0")[0]
    elif flag == b"K":
        special.link = content.partition(b"\0")[0]
    # 'g', attributes for all entries that follow, is ignored, as by Docker
    return offset + padded(size)


def _records(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    r"""Yield keywords and values of records ``"%d %s=%s\n"``; the number is the record's length."""
    at = 0
    while at < len(content):
        length = content[at : at + 8].partition(b" ")[0]
        end = at + record_number(length)
        key, equals, value = content[at + len(length) + 1 : end].partition(b"=")
        if end > len(content) or not equals or not value.endswith(b"\n"):
            raise MalformedArchive("invalid PAX record")
        yield key, value[:-1]
        at = end


def _entry(header: bytes, special: _Special) -> Entry:
    values = dict(special.records)
    kind = _KINDS[header[156:157]]
    name = values.get(NAME_RECORD, values.get(b"path", special.name or _name(header)))
    link = values.get(b"linkpath", special.link or header[157:257].partition(b"\0")[0])
    if kind is Kind.FILE and header[156:157] == b"\0" and name.endswith(b"/"):
        kind = Kind.DIRECTORY  # as tar wrote them before ustar
    _check_names(name, link)
    return Entry(
        name=os.fsdecode(name),
        kind=kind,
        mode=header_number(header[100:108], "mode") & 0o7777,
        uid=_owner(values.get(b"uid"), header[108:116]),
        gid=_owner(values.get(b"gid"), header[116:124]),
        mtime_ns=_mtime_ns(values.get(b"mtime"), header),
        link=os.fsdecode(link),
        device=_device(kind, header),
        xattrs={
            os.fsdecode(key.removeprefix(_XATTR)): value
            for key, value in special.records
            if key.startswith(_XATTR)
        },
    )


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _check_names(name: bytes, link: bytes) -> None:
    if not name or b"\0" in name + link:
        raise MalformedArchive("an entry with an unusable name")
    if max(len(name), len(link)) > PATH_BYTES_MAX:
        raise MalformedArchive(f"a name of {max(len(name), len(link))} bytes")


def _owner(record: bytes | None, header_field: bytes) -> int:
    owner = header_number(header_field, "owner") if record is None else record_number(record)
    if not 0 <= owner <= _ID_MAX:
        raise MalformedArchive(f"no user or group can have the number {owner}")
    return owner


def _mtime_ns(record: bytes | None, header: bytes) -> int:
    """Return the time of change. Times before 1970 become 1970, as with Docker."""
    if record is None:
        return max(0, header_number(header[136:148], "mtime") * _SECOND_NS)
    if record.startswith(b"-"):
        return 0
    whole, _, fraction = record.partition(b".")
    nanoseconds = record_number(fraction[:9].ljust(9, b"0"))
    return record_number(whole or b"0") * _SECOND_NS + nanoseconds


def _device(kind: Kind, header: bytes) -> tuple[int, int]:
    if kind not in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
        return (0, 0)
    return header_number(header[329:337], "device"), header_number(header[337:345], "device")


def _locate_data(
    source: Source, entry: Entry, header: bytes, records: list[tuple[bytes, bytes]], offset: int
) -> int:
    """Set where a file's data is; return the offset of the next header.

    Raises:
        MalformedArchive: the data ends after the archive, or doesn't fit a sparse file's map.
    """
    recorded = dict(records).get(b"size")
    size = _size(header) if recorded is None else record_number(recorded)
    sparse: SparseMap | None
    if header[156:157] == b"S":
        sparse, data = old_gnu_map(source, header, offset)
        end = data + size
    else:
        end = offset + size
        sparse, data = pax_map(source, records, offset, end) or (None, offset)
    if not size >= 0 or not data <= end <= source.size_bytes:
        raise MalformedArchive("unexpected EOF")
    entry.data_offset = data
    entry.size_bytes = sparse.size_bytes if sparse else size
    entry.extents = sparse.extents if sparse else ((0, size),)
    if sum(length for _, length in entry.extents) > end - data:
        raise MalformedArchive("a sparse file with too little data")
    return data + padded(end - data)
