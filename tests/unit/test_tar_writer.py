"""Test that written tars are read by other programs, Python's own tarfile, and our reader."""

import io
import os
import stat
import tarfile
from typing import Any

from engine.tar.writer import END, Member, can_be_packed, header, padding


def found(mode: int, **fields: int) -> os.stat_result:
    values: dict[str, int] = {"size": 0, "uid": 0, "gid": 0, "mtime": 0, "rdev": 0, **fields}
    rest: dict[str, Any] = {
        "st_rdev": values["rdev"],
        "st_mtime_ns": values["mtime"] * 10**9,
    }
    ten = (mode, 1, 1, 1, values["uid"], values["gid"], values["size"], 0, values["mtime"], 0)
    return os.stat_result(ten, rest)


def read(member: Member, content: bytes = b"") -> tarfile.TarInfo:
    archive = header(member) + content + padding(len(content)) + END
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        (info,) = opened.getmembers()
        extracted = opened.extractfile(info) if info.isreg() else None
        assert extracted is None or extracted.read() == content
        return info


def test_a_plain_file_needs_one_block() -> None:
    member = Member(name=b"a/b", found=found(stat.S_IFREG | 0o4751, size=3, uid=7, gid=8, mtime=99))

    assert len(header(member)) == 512
    info = read(member, b"abc")
    assert (info.name, info.mode & 0o7777, info.uid, info.gid, info.mtime) == (
        "a/b",
        0o4751,
        7,
        8,
        99,
    )


def test_long_names_and_those_beyond_ascii_get_a_record() -> None:
    for name in ("x" * 101, "é/" + "y" * 300, "n" * 99 + "ü"):
        link = f"{name}-target"
        info = read(Member(name=name.encode(), found=found(stat.S_IFLNK), link=link.encode()))

        assert (info.name, info.linkname) == (name, link)


def test_a_name_that_is_no_utf8_comes_back_byte_by_byte() -> None:
    raw = b"\xff\xfe" * 80
    archive = header(Member(name=raw, found=found(stat.S_IFREG))) + END

    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        (info,) = opened.getmembers()

    assert os.fsencode(info.name) == raw


def test_numbers_too_large_for_a_header_get_a_record() -> None:
    large = found(stat.S_IFDIR, uid=2**31, gid=2**32 - 2, mtime=-5)

    info = read(Member(name=b"d/", found=large))

    assert (info.uid, info.gid, info.mtime) == (2**31, 2**32 - 2, -5)


def test_the_size_of_a_record_counts_its_own_digits() -> None:
    for length in range(80, 130):
        value = b"v" * length
        member = Member(name=b"f", found=found(stat.S_IFREG), xattrs={"user.a": value})

        assert read(member).pax_headers == {"SCHILY.xattr.user.a": value.decode()}


def test_devices_pipes_and_other_names_of_a_file_are_kept() -> None:
    device = read(Member(name=b"c", found=found(stat.S_IFCHR, rdev=os.makedev(1, 3))))
    other = Member(name=b"o", found=found(stat.S_IFREG, size=9), link=b"first", hard=True)

    assert (device.ischr(), device.devmajor, device.devminor) == (True, 1, 3)
    assert read(Member(name=b"p", found=found(stat.S_IFIFO))).isfifo()
    assert (read(other).islnk(), read(other).linkname, other.size_bytes) == (True, "first", 0)


def test_sockets_are_left_out_of_tars() -> None:
    assert not can_be_packed(found(stat.S_IFSOCK))
    assert can_be_packed(found(stat.S_IFIFO))
