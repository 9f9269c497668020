"""Write tar headers as Docker does: ustar, and PAX where ustar has no room.

An entry's mode includes the bits of its type, as Go's archive/tar writes it. Times are whole
seconds. Names are bytes: they need not be UTF-8.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from engine.tar.source import BLOCK_BYTES

END: Final = bytes(2 * BLOCK_BYTES)
"""Two blocks of zeros."""
_NAME_BYTES: Final = 100
_ID_MAX: Final = 0o7777777
_SIZE_MAX: Final = 0o77777777777
_SECOND_NS: Final = 1_000_000_000
_TYPES: Final = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}
_HARD_LINK: Final = b"1"
_XATTR: Final = b"SCHILY.xattr."


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What is written of one file."""

    name: bytes
    found: os.stat_result
    link: bytes = b""
    hard: bool = False
    """Whether this is another name of the entry ``link``."""
    xattrs: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Return how many bytes follow the header."""
        return self.found.st_size if stat.S_ISREG(self.found.st_mode) and not self.hard else 0


def made_up(
    name: str,
    size_bytes: int = 0,
    *,
    kind: int = stat.S_IFREG,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
) -> Member:
    """Return a member for a file or directory that exists on no disk, with time 0."""
    values = (kind | mode, 0, 0, 1, uid, gid, size_bytes, 0, 0, 0)
    found = os.stat_result(values, {"st_mtime_ns": 0, "st_rdev": 0})
    return Member(name=os.fsencode(name), found=found)


def can_be_packed(found: os.stat_result) -> bool:
    """True if tar supports this kind of file; it does not support sockets."""
    return stat.S_IFMT(found.st_mode) in _TYPES


def header(member: Member) -> bytes:
    """Return all blocks before a member's data."""
    records = _records(member)
    extra = b"".join(_record(key, value) for key, value in records.items())
    pax = _block(_pax_name(member.name), b"x", 0o644, 0, 0, len(extra), 0) + _filled(extra)
    return (pax if extra else b"") + _own_block(member)


def padding(size_bytes: int) -> bytes:
    """Return the zeros that fill a member's last block."""
    return bytes(-size_bytes % BLOCK_BYTES)


def _own_block(member: Member) -> bytes:
    found = member.found
    is_device = stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)
    device = found.st_rdev if is_device and not member.hard else 0
    return _block(
        member.name,
        _HARD_LINK if member.hard else _TYPES[stat.S_IFMT(found.st_mode)],
        found.st_mode,
        found.st_uid,
        found.st_gid,
        member.size_bytes,
        found.st_mtime_ns // _SECOND_NS,
        member.link,
        (os.major(device), os.minor(device)),
    )


def _records(member: Member) -> dict[bytes, bytes]:
    found = member.found
    numbers = {
        b"size": (member.size_bytes, _SIZE_MAX),
        b"uid": (found.st_uid, _ID_MAX),
        b"gid": (found.st_gid, _ID_MAX),
        b"mtime": (found.st_mtime_ns // _SECOND_NS, _SIZE_MAX),
    }
    names = {b"path": member.name, b"linkpath": member.link}
    return {
        **{_XATTR + os.fsencode(name): value for name, value in sorted(member.xattrs.items())},
        **{key: name for key, name in names.items() if not _fits(name)},
        **{
            key: str(number).encode()
            for key, (number, largest) in numbers.items()
            if not 0 <= number <= largest
        },
    }


def _fits(name: bytes) -> bool:
    return len(name) <= _NAME_BYTES and name.isascii()


def _record(key: bytes, value: bytes) -> bytes:
    r"""Encode ``"%d %s=%s\n"``; the number is the length of the whole record, itself included."""
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest) + len(str(len(rest)))
    size = len(rest) + len(str(size))
    return str(size).encode() + rest


def _pax_name(name: bytes) -> bytes:
    return b"PaxHeaders.0/" + name.rstrip(b"/").rpartition(b"/")[2][:80]


def _filled(content: bytes) -> bytes:
    return content + padding(len(content))


def _block(
    name: bytes,
    flag: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime_s: int,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
) -> bytes:
    """Return one header block: ustar, POSIX.1-2017 "pax", with zeros where a PAX record has the
    value.
    """
    parts = (
        _text(name),
        _octal(mode, 7),
        _octal(uid if 0 <= uid <= _ID_MAX else 0, 7),
        _octal(gid if 0 <= gid <= _ID_MAX else 0, 7),
        _octal(size if size <= _SIZE_MAX else 0, 11),
        _octal(mtime_s if 0 <= mtime_s <= _SIZE_MAX else 0, 11),
        b" " * 8,
        flag,
        _text(link),
        b"ustar\x0000",
        bytes(64),
        _octal(device[0], 7),
        _octal(device[1], 7),
    )
    block = b"".join(parts).ljust(BLOCK_BYTES, b"\0")
    checksum = b"%06o\0 " % sum(block)
    return block[:148] + checksum + block[156:]


def _text(name: bytes) -> bytes:
    return name[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0")


def _octal(number: int, digits: int) -> bytes:
    return b"%0*o\0" % (digits, number)
