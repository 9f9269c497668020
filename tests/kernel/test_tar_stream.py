"""Test tars of a container's files: they hold all of it and nothing else, whatever changes
meanwhile.
"""

import io
import os
import socket
import stat
import tarfile
import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from engine.drivers.storage.trees import remove_tree
from engine.filesystem.erase import DIRECTORY, erase
from engine.tar.stream import BLOCK_BYTES, tar_blocks
from tests.kernel.monitors import open_descriptors


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "top").mkdir()
    return tmp_path / "top"


def blocks(top: Path, base: str = ".", name: str | None = "top") -> Generator[bytes, None, None]:
    fd = os.open(top, DIRECTORY)
    try:
        with closing(tar_blocks(fd, base, name)) as made:
            yield from made
    finally:
        os.close(fd)


def packed(top: Path, base: str = ".", name: str | None = "top") -> tarfile.TarFile:
    before = open_descriptors(os.getpid())
    whole = b"".join(blocks(top, base, name))
    assert open_descriptors(os.getpid()) == before
    assert len(whole) % 512 == 0
    return tarfile.open(fileobj=io.BytesIO(whole))


def test_a_directory_stands_before_its_children_and_names_in_order(top: Path) -> None:
    for name in ("b/c", "a-", "a/z", "é"):
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_text(name)

    assert packed(top).getnames() == [
        "top",
        "top/a",
        "top/a/z",
        "top/a-",
        "top/b",
        "top/b/c",
        "top/é",
    ]
    assert packed(top, name=None).getnames() == ["a", "a/z", "a-", "b", "b/c", "é"]


def test_all_kinds_of_files_are_packed_but_sockets(top: Path) -> None:
    (top / "f").write_text("text")
    (top / "again").hardlink_to(top / "f")
    (top / "l").symlink_to("/somewhere/else")
    os.mkfifo(top / "p")
    os.mknod(top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(top / "s"))

        archive = packed(top)

    kinds = {info.name: info.type for info in archive}
    assert kinds == {
        "top": tarfile.DIRTYPE,
        "top/again": tarfile.REGTYPE,
        "top/f": tarfile.LNKTYPE,
        "top/l": tarfile.SYMTYPE,
        "top/null": tarfile.CHRTYPE,
        "top/p": tarfile.FIFOTYPE,
    }
    assert archive.getmember("top/f").linkname == "top/again"
    assert archive.getmember("top/l").linkname == "/somewhere/else"


def test_capabilities_and_the_users_own_attributes_go_along(top: Path) -> None:
    (top / "f").write_text("x")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    os.setxattr(top / "f", "security.capability", capability)
    os.setxattr(top / "f", "trusted.ours", b"x")

    headers = packed(top).getmember("top/f").pax_headers

    assert set(headers) == {"SCHILY.xattr.security.capability"}


def test_a_large_file_leaves_in_blocks(top: Path) -> None:
    content = os.urandom(5 * BLOCK_BYTES + 77)
    (top / "f").write_bytes(content)

    made = list(blocks(top, "f", "g"))

    assert max(map(len, made)) <= 2 * BLOCK_BYTES
    with tarfile.open(fileobj=io.BytesIO(b"".join(made))) as archive:
        extracted = archive.extractfile("g")
        assert extracted is not None
        assert extracted.read() == content


def test_a_file_that_shrinks_meanwhile_is_filled_up(top: Path) -> None:
    (top / "f").write_bytes(b"x" * 4 * BLOCK_BYTES)
    (top / "g").write_text("after it")

    made = blocks(top)
    first = next(made)
    os.truncate(top / "f", 0)
    whole = first + b"".join(made)

    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        assert [info.size for info in archive] == [0, 4 * BLOCK_BYTES, 8]


def test_a_reading_that_is_given_up_leaves_nothing_open(top: Path) -> None:
    deep = top / "/".join(["d"] * 60)
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"x" * 4 * BLOCK_BYTES)
    before = open_descriptors(os.getpid())

    made = blocks(top)
    next(made)
    assert open_descriptors(os.getpid()) > before
    made.close()  # a generator

    assert open_descriptors(os.getpid()) == before


def test_a_tree_deeper_than_any_path_costs_few_descriptors(top: Path, tmp_path: Path) -> None:
    fd = os.open(top, DIRECTORY)
    for _ in range(700):
        os.mkdir("deeper", dir_fd=fd)
        below = os.open("deeper", DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    names = packed(top).getnames()
    remove_tree(top, tmp_path)  # pytest can't

    assert 500 < len(names) <= 701


def test_directories_that_turn_into_symlinks_meanwhile_are_not_followed(
    top: Path, tmp_path: Path
) -> None:
    """CVE-2018-15664, for a copy out of the container."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("the host's")
    (top / "d").mkdir()
    (top / "d" / "secret").write_text("harmless")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            (top / "d").rename(top / "hidden")
            (top / "d").symlink_to(tmp_path / "outside")
            (top / "d").unlink()
            (top / "hidden").rename(top / "d")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        wholes = [b"".join(blocks(top)) for _ in range(300)]
    finally:
        done.set()
        swapping.join()

    assert not any(b"the host's" in whole for whole in wholes)
    assert any(b"harmless" in whole for whole in wholes)


def test_erasing_does_not_follow_what_it_finds(top: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_text("x")
    (top / "d/e").mkdir(parents=True)
    (top / "d/e/l").symlink_to(tmp_path / "outside")
    fd = os.open(top, DIRECTORY)
    try:
        erase(fd, "d")
        erase(fd, "never there")
    finally:
        os.close(fd)

    assert list(top.iterdir()) == []
    assert (tmp_path / "outside" / "f").read_text() == "x"
