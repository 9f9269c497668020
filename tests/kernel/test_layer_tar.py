"""Test that a container's changes become a layer that shows the same on top of its image."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.drivers.images.layer_tar import layer_blocks
from engine.filesystem.erase import DIRECTORY
from tests.kernel.tarballs import overlay

Pack = Callable[[Callable[[Path], object]], tarfile.TarFile]


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    image, upper = tmp_path / "image", tmp_path / "upper"
    for directory in ("bin", "etc", "var/lib/data"):
        (image / directory).mkdir(parents=True)
    for name in ("bin/a", "bin/b", "etc/passwd", "var/lib/data/f", "var/lib/data/g"):
        (image / name).write_text(name)
    upper.mkdir()
    (tmp_path / "work").mkdir()

    def run(act: Callable[[Path], object]) -> tarfile.TarFile:
        with overlay([image], tmp_path, upper) as merged:
            act(merged)
        upper_fd, image_fd = os.open(upper, DIRECTORY), os.open(image, DIRECTORY)
        try:
            return tarfile.open(fileobj=io.BytesIO(b"".join(layer_blocks(upper_fd, image_fd))))
        finally:
            os.close(upper_fd)
            os.close(image_fd)

    return run


def test_nothing_done_is_an_empty_tar(pack: Pack) -> None:
    assert pack(lambda root: None).getnames() == []


def test_files_come_with_the_directories_above_them(pack: Pack) -> None:
    def act(root: Path) -> None:
        (root / "new/deep").mkdir(parents=True)
        (root / "new/deep/f").write_text("x")
        os.link(root / "new/deep/f", root / "new/deep/g")
        (root / "bin/a").write_text("changed")

    archive = pack(act)

    assert archive.getnames() == ["bin", "bin/a", "new", "new/deep", "new/deep/f", "new/deep/g"]
    assert archive.getmember("new/deep/g").linkname == "new/deep/f"


def test_what_is_gone_is_a_whiteout(pack: Pack) -> None:
    def act(root: Path) -> None:
        (root / "bin/a").unlink()
        (root / "bin/b").unlink()
        (root / "bin/passing").write_text("")
        (root / "bin/passing").unlink()

    archive = pack(act)

    assert archive.getnames() == ["bin", "bin/.wh.a", "bin/.wh.b"]
    assert archive.getmember("bin/.wh.b").isreg()
    assert archive.getmember("bin/.wh.b").size == 0


def test_a_directory_that_replaced_another_hides_what_was_in_it(pack: Pack) -> None:
    def act(root: Path) -> None:
        for name in ("f", "g"):
            (root / "var/lib/data" / name).unlink()
        (root / "var/lib/data").rmdir()
        (root / "var/lib/data").mkdir()
        (root / "var/lib/data/h").write_text("h")

    assert pack(act).getnames() == [
        "var",
        "var/lib",
        "var/lib/data",
        "var/lib/data/.wh..wh..opq",
        "var/lib/data/h",
    ]


def test_other_rights_are_a_change_of_a_directory(pack: Pack) -> None:
    archive = pack(lambda root: (root / "etc").chmod(0o700))

    assert archive.getnames() == ["etc"]
    assert archive.getmember("etc").mode & 0o777 == 0o700


def test_what_the_engine_mounts_on_is_left_out(pack: Pack) -> None:
    def act(root: Path) -> None:
        for name in ("etc/hosts", "etc/resolv.conf", "etc/hostname"):
            (root / name).touch()
        (root / "dev").mkdir()
        (root / "dev/console").touch()
        (root / "proc").mkdir()

    assert pack(act).getnames() == []


def test_what_the_engine_mounts_on_is_kept_where_the_image_had_it_or_something_is_in_it(
    pack: Pack,
) -> None:
    def act(root: Path) -> None:
        (root / "etc/hosts").touch()
        (root / "etc/passwd").write_text("changed")
        (root / "sys").mkdir()
        (root / "sys/own").write_text("x")

    assert pack(act).getnames() == ["etc", "etc/passwd", "sys", "sys/own"]
