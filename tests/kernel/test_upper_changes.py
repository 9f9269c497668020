"""Test the reported changes of a container to its files."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.drivers.storage.layer_changes import changes
from engine.filesystem.erase import DIRECTORY
from tests.kernel.tarballs import overlay

Diff = Callable[[Callable[[Path], None]], list[str]]


@pytest.fixture
def diff(tmp_path: Path) -> Diff:
    image, upper = tmp_path / "image", tmp_path / "upper"
    for directory in ("bin", "etc", "var/lib/data", "home"):
        (image / directory).mkdir(parents=True)
    for name in ("bin/a", "bin/b", "etc/passwd", "var/lib/data/f", "var/g"):
        (image / name).write_text(name)
    upper.mkdir()
    (tmp_path / "work").mkdir()

    def run(act: Callable[[Path], None]) -> list[str]:
        with overlay([image], tmp_path, upper) as merged:
            act(merged)
        upper_fd, image_fd = os.open(upper, DIRECTORY), os.open(image, DIRECTORY)
        try:
            return [f"{'CAD'[each.kind]} {each.path}" for each in changes(upper_fd, image_fd)]
        finally:
            os.close(upper_fd)
            os.close(image_fd)

    return run


def test_nothing_done_is_nothing_reported(diff: Diff) -> None:
    assert diff(lambda root: None) == []


def test_files_are_added_modified_and_deleted_below_directories_that_so_changed(diff: Diff) -> None:
    def act(root: Path) -> None:
        (root / "new/deep").mkdir(parents=True)
        (root / "new/deep/f").write_text("x")
        (root / "etc/passwd").write_text("changed")
        (root / "bin/a").unlink()
        (root / "bin/c").symlink_to("b")

    assert diff(act) == [
        "C /bin",
        "D /bin/a",
        "A /bin/c",
        "C /etc",
        "C /etc/passwd",
        "A /new",
        "A /new/deep",
        "A /new/deep/f",
    ]


def test_a_directory_that_only_was_copied_up_has_not_changed(diff: Diff) -> None:
    def act(root: Path) -> None:
        (root / "etc/x").write_text("x")
        (root / "etc/x").unlink()

    assert diff(act) == []


def test_the_rights_of_a_directory_are_a_change(diff: Diff) -> None:
    assert diff(lambda root: (root / "home").chmod(0o700)) == ["C /home"]


def test_a_directory_that_was_made_anew_lacks_what_the_old_one_had(diff: Diff) -> None:
    def act(root: Path) -> None:
        shutil.rmtree(root / "var")
        (root / "var").mkdir()
        (root / "var/x").write_text("x")

    assert diff(act) == ["C /var", "D /var/g", "D /var/lib", "A /var/x"]


def test_a_directory_in_place_of_a_file_and_the_other_way_round_are_modified(diff: Diff) -> None:
    def act(root: Path) -> None:
        (root / "bin/a").unlink()
        (root / "bin/a").mkdir()
        (root / "bin/a/f").write_text("x")
        shutil.rmtree(root / "home")
        (root / "home").write_text("x")

    assert diff(act) == ["C /bin", "C /bin/a", "A /bin/a/f", "C /home"]


def test_mount_points_of_the_engine_do_not_count_as_changes(diff: Diff) -> None:
    def act(root: Path) -> None:
        (root / "etc/hosts").write_text("")
        (root / "etc/resolv.conf").write_text("")
        for name in ("proc", "sys", "dev"):
            (root / name).mkdir()
        (root / "mnt").mkdir()

    assert diff(act) == ["A /mnt"]
