"""Test what a tar becomes in a layer, and that no tar can make a path outside of it."""

import io
import os
import stat
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

from engine.drivers.images.unpack import unpack
from engine.errors import InvalidRequest
from engine.tar.reader import SPECIAL_BYTES_MAX
from engine.tar.source import BLOCK_BYTES, Source
from tests.kernel import tarballs
from tests.kernel.tarballs import directory, member, tar

SECRET = "outside/secret"


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """Make an empty layer with a file beside it that must not change."""
    (tmp_path / "outside").mkdir()
    (tmp_path / SECRET).write_text("untouched")
    (tmp_path / "layer").mkdir()
    return tmp_path / "layer"


def make(layer: Path, archive: bytes, *, lowest: bool = False) -> int:
    packed = layer.with_name("packed")
    packed.write_bytes(archive)
    with packed.open("rb") as file:
        return unpack(Source(file.fileno()), layer, layer.parent, lowest=lowest)


def test_files_come_with_all_that_belongs_to_them(layer: Path) -> None:
    size = make(
        layer,
        tar(
            directory("d", 0o1777),
            member("d/f", b"hello", mode=0o4755, owner=(7, 8), mtime=1234567890.5),
            member("s", kind=tarballs.SYMLINK, link="/d/f", owner=(9, 10)),
            member("h", kind=tarballs.HARD_LINK, link="d/f"),
            member("p", kind=tarballs.FIFO, mode=0o622),
            member("c", kind=tarballs.CHARACTER, mode=0o666, device=(1, 3)),
            member("b", kind=tarballs.BLOCK, mode=0o600, device=(7, 1)),
        ),
    )

    file = (layer / "d/f").stat()
    assert (layer / "d/f").read_bytes() == b"hello"
    assert stat.S_IMODE(file.st_mode) == 0o4755
    assert (file.st_uid, file.st_gid, file.st_mtime_ns) == (7, 8, 1234567890_500000000)
    assert file.st_ino == (layer / "h").stat().st_ino
    assert (layer / "s").readlink() == Path("/d/f")
    assert (layer / "s").lstat().st_uid == 9
    assert stat.S_IMODE((layer / "d").stat().st_mode) == 0o1777
    assert (layer / "d").stat().st_mtime == 1_000_000_000
    assert stat.S_ISFIFO((layer / "p").stat().st_mode)
    assert stat.S_IMODE((layer / "p").stat().st_mode) == 0o622
    assert (layer / "c").stat().st_rdev == os.makedev(1, 3)
    assert stat.S_ISBLK((layer / "b").stat().st_mode)
    assert size == len("hello") + len("/d/f")


def test_the_root_is_an_entry_too(layer: Path) -> None:
    make(layer, tar(member("./", kind=tarballs.DIRECTORY, mode=0o700, owner=(3, 4), mtime=5)))

    root = layer.stat()
    assert (stat.S_IMODE(root.st_mode), root.st_uid, root.st_gid, root.st_mtime) == (0o700, 3, 4, 5)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_too_long_for_a_header_are_whole(layer: Path, form: int) -> None:
    name = "/".join(["n" * 60] * (2 if form == tarfile.USTAR_FORMAT else 9))
    target = "t" * (90 if form == tarfile.USTAR_FORMAT else 500)

    make(layer, tar(member(name, b"x"), member("l", kind=tarballs.SYMLINK, link=target), form=form))

    assert (layer / name).read_bytes() == b"x"
    assert os.readlink(layer / "l") == target  # noqa: PTH115  (Path would tidy it)


def test_names_need_not_be_text(layer: Path) -> None:
    name = os.fsdecode(b"\xff\xfe x \n")

    make(layer, tar(member(name, b"x"), form=tarfile.GNU_FORMAT))

    assert [path.name for path in layer.iterdir()] == [name]


def test_big_owners_and_sizes_are_read_in_base_256(layer: Path) -> None:
    make(layer, tar(member("f", owner=(3_000_000, 4_000_000_000)), form=tarfile.GNU_FORMAT))

    assert ((layer / "f").stat().st_uid, (layer / "f").stat().st_gid) == (3_000_000, 4_000_000_000)


def test_extended_attributes_are_kept_but_those_of_overlay(layer: Path) -> None:
    capability = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0).decode("latin-1")
    pax = {
        "SCHILY.xattr.user.colour": "red",
        "SCHILY.xattr.security.capability": capability,
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.user.overlay.opaque": "y",
    }

    make(layer, tar(member("f", b"x", mode=0o755, owner=(1, 1), pax=pax)))

    assert sorted(os.listxattr(layer / "f")) == ["security.capability", "user.colour"]
    assert os.getxattr(layer / "f", "security.capability") == capability.encode()


@pytest.mark.parametrize(
    "options", [["--format=gnu"], *(["--format=pax", f"--sparse-version={v}"] for v in ("0.0", "0.1", "1.0"))]
)  # fmt: skip
def test_holes_stay_holes(layer: Path, tmp_path: Path, options: list[str]) -> None:
    """Many parts, so that the old format needs more than one block for its map."""
    with (tmp_path / "sparse").open("wb") as file:
        for at in range(40):
            file.seek(at << 20)
            file.write(bytes([at + 1]) * 5000)
        file.truncate(60 << 20)
    command = ["tar", "-C", str(tmp_path), "-S", *options, "-cf", str(tmp_path / "t"), "sparse"]
    subprocess.run(command, check=True)

    make(layer, (tmp_path / "t").read_bytes())

    assert (layer / "sparse").stat().st_blocks * 512 < 2 << 20
    assert (layer / "sparse").read_bytes() == (tmp_path / "sparse").read_bytes()


def test_a_missing_parent_is_made(layer: Path) -> None:
    previous = os.umask(0o077)
    try:
        make(layer, tar(member("/".join(["d"] * 300) + "/f", b"x")))
    finally:
        os.umask(previous)

    assert stat.S_IMODE((layer / "d/d").stat().st_mode) == 0o755
    assert (layer / "/".join(["d"] * 300) / "f").exists()


def test_of_entries_with_one_name_the_last_counts(layer: Path) -> None:
    size = make(
        layer,
        tar(
            member("f", b"first"),
            member("f", b"2nd"),
            directory("d"),
            member("d/gone", b"x"),
            member("d", b"file"),
            member("l", kind=tarballs.SYMLINK, link="nowhere"),
            directory("l"),
            member("l/in", b"x"),
            directory("kept"),
            member("kept/f", b"x"),
            directory("kept", 0o700),
        ),
    )

    assert (layer / "f").read_bytes() == b"2nd"
    assert (layer / "d").read_bytes() == b"file"
    assert (layer / "l/in").read_bytes() == b"x"
    assert (layer / "kept/f").exists()
    assert stat.S_IMODE((layer / "kept").stat().st_mode) == 0o700
    assert size == len("2nd" + "file" + "x" + "x")


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "./../evil", "a/b/../../../evil"])
def test_a_name_that_leads_out_is_refused(layer: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="is outside of the layer"):
        make(layer, tar(member(name, b"x")))

    assert not (layer.parent / "evil").exists()


def test_an_absolute_name_is_one_of_the_layer(layer: Path) -> None:
    make(layer, tar(member("/etc/shipslog-test", b"x"), member("//../up", b"x")))

    assert (layer / "etc/shipslog-test").exists()
    assert (layer / "up").exists()
    assert not Path("/etc/shipslog-test").exists()


@pytest.mark.parametrize("leads", ["/{outside}", "../outside", "/../../../../../..{outside}"])
def test_a_symlink_is_resolved_within_the_layer(layer: Path, leads: str) -> None:
    outside = layer.parent / "outside"
    link = leads.format(outside=str(outside).lstrip("/") if leads == "/{outside}" else outside)

    make(
        layer,
        tar(
            directory(str(outside)),
            directory("outside"),
            member("l", kind=tarballs.SYMLINK, link=link),
            member("l/secret", b"stolen"),
        ),
    )

    assert (layer.parent / SECRET).read_text() == "untouched"
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_a_name_replaces_a_symlink_and_does_not_follow_it(layer: Path) -> None:
    target = str(layer.parent / SECRET)

    make(layer, tar(member("l", kind=tarballs.SYMLINK, link=target), member("l", b"mine")))

    assert (layer / "l").read_bytes() == b"mine"
    assert (layer.parent / SECRET).read_text() == "untouched"


@pytest.mark.parametrize(
    "link", ["../outside/secret", "/outside/secret", "l/secret", "nowhere", "/"]
)
def test_a_hard_link_joins_files_of_the_layer_only(layer: Path, link: str) -> None:
    out = member("l", kind=tarballs.SYMLINK, link=str(layer.parent / "outside"))

    with pytest.raises(InvalidRequest):
        make(layer, tar(out, member("h", kind=tarballs.HARD_LINK, link=link)))

    assert (layer.parent / SECRET).stat().st_nlink == 1


def test_a_dangling_symlink_is_not_a_directory(layer: Path) -> None:
    with pytest.raises(InvalidRequest, match="File exists"):
        make(layer, tar(member("l", kind=tarballs.SYMLINK, link="/none"), member("l/f", b"x")))


def test_symlinks_in_a_circle_end(layer: Path) -> None:
    loop = (
        member("a", kind=tarballs.SYMLINK, link="b"),
        member("b", kind=tarballs.SYMLINK, link="a"),
    )

    with pytest.raises(InvalidRequest, match="Too many levels"):
        make(layer, tar(*loop, member("a/f", b"x")))


def test_a_file_is_no_directory(layer: Path) -> None:
    with pytest.raises(InvalidRequest, match="Not a directory"):
        make(layer, tar(member("f", b"x"), member("f/g", b"x")))


def test_the_root_is_a_directory(layer: Path) -> None:
    with pytest.raises(InvalidRequest, match="the root of a layer"):
        make(layer, tar(member("./", kind=tarballs.SYMLINK, link="/")))


@pytest.mark.parametrize("name", ["a/.wh..", "a/.wh...", ".wh.", ".wh..."])
def test_a_whiteout_without_a_name_is_refused(layer: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="whiteout"):
        make(layer, tar(directory("a"), member(name)))


def test_in_the_lowest_layer_nothing_is_hidden(layer: Path) -> None:
    make(layer, tar(directory("d"), member("d/.wh.x"), member("d/.wh..wh..opq")), lowest=True)

    assert list((layer / "d").iterdir()) == []
    assert os.listxattr(layer / "d") == []


def broken(change: str) -> bytes:
    whole = tar(member("a", b"x" * 2000), member("b", b"y" * 2000))
    match change:
        case "cut in a header":
            return whole[: 512 + 2048 + 100]
        case "cut in data":
            return whole[:1000]
        case "noise in the middle":
            return whole[:2560] + os.urandom(512) + whole[3072:]
        case "checksum":
            return b"z" + whole[1:]
        case "noise":
            return os.urandom(5000)
        case "negative size":
            return header(size=b"\xff" * 12)
        case "endless size":
            return header(size=b"\x80" + b"\xff" * 11)
        case "huge PAX record":
            return header(kind=b"x", size=b"77777777777\0")
        case "huge name":
            return header(kind=b"L", size=b"%011o\0" % (SPECIAL_BYTES_MAX + 1))
        case "name that never comes":
            return header(kind=b"L", size=b"%011o\0" % 5) + b"abcde".ljust(BLOCK_BYTES, b"\0")
        case "PAX record without end":
            return header(kind=b"x", size=b"%011o\0" % 9) + b"99 path=a".ljust(BLOCK_BYTES, b"\0")
        case "PAX record of length 0":
            return header(kind=b"x", size=b"%011o\0" % 9) + b"0 path=a\n".ljust(BLOCK_BYTES, b"\0")
        case "unknown type":
            return header(kind=b"Z")
        case "owner":
            return tar(member("a", owner=(2**32 - 1, 0)), form=tarfile.GNU_FORMAT)
        case "path":
            return tar(member("a/" * 3000 + "b"))
        case "component":
            return tar(member("a" * 256))
    raise AssertionError(change)


def header(kind: bytes = b"0", size: bytes = b"00000000000\0") -> bytes:
    fields = b"evil".ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + size + b"00000000000\0"
    before, after = fields, kind + bytes(100) + b"ustar\x0000" + bytes(247)
    total = sum(before + after) + 8 * ord(" ")
    return before + b"%06o\0 " % total + after


@pytest.mark.parametrize(
    "change",
    ["cut in a header", "cut in data", "noise in the middle", "checksum", "noise", "negative size", "endless size",
     "huge PAX record", "huge name", "name that never comes", "PAX record without end", "PAX record of length 0",
     "unknown type", "owner", "path", "component"],
)  # fmt: skip
def test_damage_is_noticed(layer: Path, change: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^invalid tar archive: "):
        make(layer, broken(change))


def test_an_archive_may_end_without_the_zeros_that_mark_the_end(layer: Path) -> None:
    make(layer, tar(member("a", b"x" * 512))[:1024])

    assert (layer / "a").stat().st_size == 512


def test_global_headers_are_passed_over(layer: Path) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", pax_headers={"path": "evil"}) as archive:
        archive.addfile(member("good")[0])

    make(layer, made.getvalue())

    assert [path.name for path in layer.iterdir()] == ["good"]
