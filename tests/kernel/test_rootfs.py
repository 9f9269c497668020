"""Test a container's directory: it appears completely, and is removed whatever the container left
in it.
"""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.domain.ids import ContainerId
from engine.drivers.storage.rootfs import Rootfs
from engine.drivers.storage.trees import delete_trash, empty_trash, size_of_tree, trash_directory
from engine.errors import DriverError
from engine.runtime import linux
from tests.kernel.tarballs import overlay

C = ContainerId("c" * 64)


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "f").write_text("lower")
    layer.chmod(0o1751)
    os.chown(layer, 3, 4)
    return layer


@pytest.fixture
def rootfs(tmp_path: Path, layer: Path) -> Rootfs:
    rootfs = Rootfs(tmp_path / "data")
    rootfs.make(C, layer)
    return rootfs


@pytest.fixture
def trash(tmp_path: Path) -> Path:
    return trash_directory(tmp_path / "data")


def remove(rootfs: Rootfs) -> None:
    """Move a container's directory to the trash, and delete it there."""
    if (trashed := rootfs.set_aside(C)) is not None:
        delete_trash(trashed)


def test_the_root_of_a_container_is_like_that_of_its_image(rootfs: Rootfs) -> None:
    upper = rootfs.upper(C).stat()

    assert (stat.S_IMODE(upper.st_mode), upper.st_uid, upper.st_gid) == (0o1755, 3, 4)
    assert stat.S_IMODE(rootfs.upper(C).parent.stat().st_mode) == 0o700
    assert rootfs.all() == {C}


def test_every_user_can_enter_a_root_that_was_packed_in_a_private_directory(
    rootfs: Rootfs, layer: Path
) -> None:
    layer.chmod(0o700)
    other = ContainerId("d" * 64)

    rootfs.make(other, layer)

    assert stat.S_IMODE(rootfs.upper(other).stat().st_mode) == 0o755


def test_made_again_it_keeps_what_the_container_did(rootfs: Rootfs, layer: Path) -> None:
    rootfs.upper(C).chmod(0o700)
    (rootfs.upper(C) / "mine").write_text("x")

    rootfs.make(C, layer)

    assert stat.S_IMODE(rootfs.upper(C).stat().st_mode) == 0o700
    assert (rootfs.upper(C) / "mine").exists()


def test_a_half_made_directory_is_finished(rootfs: Rootfs, layer: Path) -> None:
    rootfs.upper(C).rename(rootfs.upper(C).with_name(".upper.new"))
    assert not rootfs.exists(C)

    rootfs.make(C, layer)

    assert rootfs.exists(C)
    assert sorted(path.name for path in rootfs.upper(C).parent.iterdir()) == ["upper", "work"]


def test_what_overlay_leaves_behind_goes_too(
    rootfs: Rootfs, layer: Path, tmp_path: Path, trash: Path
) -> None:
    with overlay([layer], tmp_path, rootfs.upper(C)) as merged:
        (merged / "f").unlink()
        (merged / "d").mkdir()
        (merged / "d" / "g").write_text("x")

    remove(rootfs)
    remove(rootfs)

    assert rootfs.all() == frozenset()
    assert list(trash.iterdir()) == []


@pytest.fixture
def elsewhere(rootfs: Rootfs) -> Iterator[int]:
    """Start a process that has a file system mounted on ``upper/held``, in mounts of its own;
    return its pid.
    """
    held = rootfs.upper(C) / "held"
    held.mkdir()
    command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f"mount -t tmpfs none {held} && echo up && exec cat",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process.pid


def test_a_mount_in_another_namespace_does_not_block_a_removal(
    rootfs: Rootfs, elsewhere: int, trash: Path
) -> None:
    remove(rootfs)

    assert rootfs.all() == frozenset()
    assert list(trash.iterdir()) == []


def test_a_mount_that_blocks_a_deletion_is_logged_and_deleted_later(
    rootfs: Rootfs, layer: Path, trash: Path, tmp_path: Path
) -> None:
    """The container's name is free at once: only the trash still has the directory."""
    held = rootfs.upper(C) / "deep" / "held"
    held.mkdir(parents=True)
    linux.mount("none", str(held), "tmpfs")

    with pytest.raises(DriverError, match="held"):
        remove(rootfs)

    assert rootfs.all() == frozenset()
    rootfs.make(C, layer)
    (still,) = trash.rglob("held")
    linux.umount2(str(still))
    empty_trash(tmp_path / "data")
    assert list(trash.iterdir()) == []


def test_an_immutable_file_is_named(rootfs: Rootfs, trash: Path, tmp_path: Path) -> None:
    (rootfs.upper(C) / "stubborn").write_text("x")
    subprocess.run(["chattr", "+i", rootfs.upper(C) / "stubborn"], check=True)

    with pytest.raises(DriverError, match="stubborn"):
        remove(rootfs)

    (still,) = trash.rglob("stubborn")
    subprocess.run(["chattr", "-i", still], check=True)
    empty_trash(tmp_path / "data")
    assert list(trash.iterdir()) == []


def test_the_size_of_a_container_is_what_it_wrote(rootfs: Rootfs) -> None:
    upper = rootfs.upper(C)
    (upper / "d").mkdir()
    (upper / "d/f").write_bytes(bytes(1000))
    (upper / "d/same").hardlink_to(upper / "d/f")
    (upper / "l").symlink_to("/etc/passwd")
    (upper / "out").symlink_to("/usr")

    assert rootfs.size_rw_bytes(C) == 1000 + len("/etc/passwd") + len("/usr")


def test_measuring_a_missing_tree_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="nowhere"):
        size_of_tree(tmp_path / "nowhere")


def test_files_are_written_only_when_they_change(rootfs: Rootfs) -> None:
    rootfs.write_files(C, {"hosts": "a\n", "hostname": "web\n"})
    directory = rootfs.upper(C).parent
    before = (directory / "hosts").stat()

    rootfs.write_files(C, {"hosts": "a\n", "hostname": "other\n"})

    assert (directory / "hosts").stat().st_ino == before.st_ino
    assert (directory / "hostname").read_text() == "other\n"
    assert stat.S_IMODE(before.st_mode) == 0o644


def test_a_file_that_lost_its_name_gets_it_back_with_all_that_is_in_it(rootfs: Rootfs) -> None:
    rootfs.write_files(C, {"hosts": "a\n"})
    hosts = rootfs.upper(C).parent / "hosts"
    before = hosts.stat().st_ino
    rootfs.overwrite_files(C, {"hosts": "a\nmine\n"})
    hosts.unlink()

    rootfs.restore_files(C, {"hosts": "a\n"})

    assert (hosts.stat().st_ino, hosts.read_text()) == (before, "a\nmine\n")


def test_a_file_without_any_name_left_is_a_new_one(rootfs: Rootfs) -> None:
    rootfs.write_files(C, {"hosts": "a\n"})
    for each in rootfs.upper(C).parent.glob("*hosts"):
        each.unlink()

    rootfs.restore_files(C, {"hosts": "a\n"})

    assert rootfs.file_text(C, "hosts") == "a\n"
