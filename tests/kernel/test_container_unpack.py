"""Test that a tar is unpacked into a directory of a container, and nowhere else, whatever tar and
container try.
"""

import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from engine.errors import InvalidRequest
from engine.tar.source import Source
from engine.tar.unpack import check_tar, unpack_into
from tests.kernel.monitors import open_descriptors
from tests.kernel.tarballs import (
    BLOCK,
    CHARACTER,
    FIFO,
    HARD_LINK,
    SYMLINK,
    directory,
    files,
    member,
    tar,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a container's root with a directory ``/in``, and files of the host beside it that must
    not change.
    """
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_text("the host's")
    (tmp_path / "root" / "in").mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
def outside(root: Path) -> Iterator[Path]:
    outside = root.parent / "outside"
    yield outside
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"f": "the host's"}


@contextmanager
def opened(archive: bytes, root: Path) -> Iterator[tuple[Source, int]]:
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        with tempfile.TemporaryFile() as file:
            file.write(archive)
            file.flush()
            yield Source(file.fileno()), root_fd
    finally:
        os.close(root_fd)


def unpack(
    archive: bytes, root: Path, owner: tuple[int, int] | None = None, *, keep_kinds: bool = False
) -> None:
    before = open_descriptors(os.getpid())
    with opened(archive, root) as (source, root_fd):
        check_tar(source)
        unpack_into(source, root_fd, "/in", keep_kinds=keep_kinds, owner=owner)
    assert open_descriptors(os.getpid()) == before


def refusal(archive: bytes, root: Path, *, keep_kinds: bool = False) -> str:
    with pytest.raises(InvalidRequest) as refused:
        unpack(archive, root, keep_kinds=keep_kinds)
    return str(refused.value)


def test_files_come_with_owner_mode_and_time(root: Path) -> None:
    unpack(tar(member("a/b", b"text", mode=0o4751, owner=(7, 8), mtime=99)), root)

    made = (root / "in/a/b").stat()
    assert (root / "in/a/b").read_text() == "text"
    assert (stat.S_IMODE(made.st_mode), made.st_uid, made.st_gid, made.st_mtime) == (
        0o4751,
        7,
        8,
        99,
    )


def test_everything_is_given_to_one_owner_if_that_is_asked(root: Path) -> None:
    archive = tar(directory("d"), member("d/f", owner=(7, 8)), member("l", kind=SYMLINK, link="d"))

    unpack(archive, root, (1000, 1001))

    for name in ("d", "d/f", "l"):
        made = (root / "in" / name).lstat()
        assert (made.st_uid, made.st_gid) == (1000, 1001)


def test_a_directory_that_is_there_keeps_its_content_and_gets_mode_and_time(root: Path) -> None:
    (root / "in/d").mkdir(mode=0o755)
    (root / "in/d/kept").write_text("x")

    unpack(tar(member("d", kind=b"5", mode=0o711, mtime=1000), member("d/new", b"y")), root)

    there = (root / "in/d").stat()
    assert (stat.S_IMODE(there.st_mode), there.st_mtime) == (0o711, 1000)
    assert {path.name for path in (root / "in/d").iterdir()} == {"kept", "new"}


def test_the_destination_itself_stays_as_it_is(root: Path) -> None:
    (root / "in").chmod(0o750)

    unpack(tar(directory(".", 0o777), member("./f", b"x")), root)

    assert stat.S_IMODE((root / "in").stat().st_mode) == 0o750
    assert (root / "in/f").read_text() == "x"


def test_what_stands_in_the_way_is_replaced(root: Path) -> None:
    deep = root / "in/d" / "/".join(["deep"] * 300)
    deep.mkdir(parents=True)
    (deep / "f").write_text("x")
    (root / "in/f").write_text("y")

    unpack(tar(member("d", b"now a file"), directory("f")), root)

    assert (root / "in/d").read_text() == "now a file"
    assert (root / "in/f").is_dir()


def test_kinds_are_kept_if_that_is_asked(root: Path) -> None:
    (root / "in/d").mkdir()
    (root / "in/f").write_text("y")

    assert refusal(files(d="x"), root, keep_kinds=True) == (
        'cannot overwrite directory "/in/d" with non-directory "/in"'
    )
    assert refusal(tar(directory("f")), root, keep_kinds=True) == (
        'cannot overwrite non-directory "/in/f" with directory "/in"'
    )
    unpack(tar(directory("d"), member("f", b"z")), root, keep_kinds=True)
    assert (root / "in/f").read_text() == "z"


def test_another_name_of_a_file_is_not_written_through(root: Path) -> None:
    (root / "kept").write_text("kept")
    (root / "in/f").hardlink_to(root / "kept")

    unpack(files(f="new"), root)

    assert ((root / "kept").read_text(), (root / "in/f").read_text()) == ("kept", "new")


@pytest.mark.parametrize("name", ["../f", "../../outside/f", "a/../../f", "a/b/../../../f"])
def test_a_name_that_leads_out_of_the_destination_is_refused(
    root: Path, outside: Path, name: str
) -> None:
    assert refusal(tar(member(name)), root).endswith('is outside of "/in"')


def test_an_absolute_name_is_one_below_the_destination(root: Path, outside: Path) -> None:
    unpack(tar(member("/etc/f", b"x"), member("/../../top", b"y")), root)

    assert (root / "in/etc/f").read_text() == "x"
    assert (root / "in/top").read_text() == "y"


def test_links_that_lead_out_of_the_destination_are_refused(root: Path, outside: Path) -> None:
    symlink = tar(member("a/l", kind=SYMLINK, link="../../outside"))
    hard_link = tar(member("h", kind=HARD_LINK, link="../f"))

    assert refusal(symlink, root) == 'invalid symlink "/in/a/l" -> "../../outside"'
    assert refusal(hard_link, root) == 'invalid hardlink "/f" -> "../f"'


def test_a_symlink_of_the_tar_leads_within_the_container(root: Path, outside: Path) -> None:
    target = str(outside)
    (root / target.lstrip("/")).mkdir(parents=True)

    unpack(tar(member("l", kind=SYMLINK, link=target), member("l/f", b"inside")), root)

    assert (root / target.lstrip("/") / "f").read_text() == "inside"


def test_a_symlink_that_is_there_is_replaced_and_not_followed(root: Path, outside: Path) -> None:
    (root / "in/f").symlink_to(outside / "f")
    (root / "in/d").symlink_to(outside)

    unpack(tar(member("f", b"new"), directory("d"), member("d/f", b"new")), root)

    assert not (root / "in/f").is_symlink()
    assert (root / "in/d/f").read_text() == "new"


def test_devices_and_pipes_are_made_and_not_opened(root: Path) -> None:
    unpack(
        tar(
            member("null", kind=CHARACTER, device=(1, 3), mode=0o622),
            member("loop", kind=BLOCK, device=(7, 0)),
            member("pipe", kind=FIFO),
        ),
        root,
    )

    null = (root / "in/null").stat()
    assert stat.S_ISCHR(null.st_mode)
    assert (null.st_rdev, stat.S_IMODE(null.st_mode)) == (os.makedev(1, 3), 0o622)
    assert stat.S_ISBLK((root / "in/loop").stat().st_mode)
    assert stat.S_ISFIFO((root / "in/pipe").stat().st_mode)


def test_names_that_no_filesystem_can_have_are_refused(root: Path) -> None:
    assert refusal(tar(member("n" * 300)), root).endswith("file name too long")
    assert "a name of" in refusal(tar(member("/".join(["n" * 100] * 50))), root)


def test_a_torn_tar_is_refused_before_anything_is_made(root: Path) -> None:
    whole = tar(member("first", b"x"), member("second", b"y" * 5000))

    for end in (300, 1024 + 300, 1024 + 512 + 100):
        assert refusal(whole[:end], root) == "invalid tar archive: unexpected EOF"
    assert list((root / "in").iterdir()) == []


def test_a_sparse_file_stays_sparse(root: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "sparse")
        with source.open("wb") as file:
            file.truncate(1 << 24)
            file.write(b"x")
        os.system(f"tar -C {place} -S -cf {place}/s.tar sparse")
        unpack(Path(place, "s.tar").read_bytes(), root)

    made = (root / "in/sparse").stat()
    assert (made.st_size, made.st_blocks * 512 < 1 << 20) == (1 << 24, True)


def test_directories_that_are_replaced_by_symlinks_are_resolved_inside(
    root: Path, outside: Path
) -> None:
    """CVE-2018-15664: a process of the container exchanges a directory for a symlink while files
    are copied below it.
    """
    (root / "in/d").mkdir()
    done = threading.Event()

    def swap() -> None:
        directory, hidden = root / "in/d", root / "in/hidden"
        while not done.is_set():
            for step in (
                lambda: directory.rename(hidden),
                lambda: directory.symlink_to(outside),
                lambda: directory.unlink(),
                lambda: shutil.rmtree(directory),
                lambda: hidden.rename(directory),
            ):
                with suppress(OSError):  # the unpacking was faster
                    step()

    swapping = threading.Thread(target=swap)
    swapping.start()
    archive = tar(*(member(f"d/{number % 7}/f", b"hostile") for number in range(100)))
    try:
        for _ in range(15):
            try:
                unpack(archive, root)
            except InvalidRequest:  # it lost the race: a refusal is allowed
                continue
    finally:
        done.set()
        swapping.join()
