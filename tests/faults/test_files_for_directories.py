"""Test a file in the place of one of the engine's directories.

The daemon lives, starts, reports it, and is intact again afterwards.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

SWEPT: Final = ("exec/bundles", "exec/netns", "data/containers")
"""Directories that each sweep lists."""
AT_START: Final = (*SWEPT, "exec/resolver", "data/incoming", "data/layers", "data/trash")


def at(daemon: DaemonUnderTest, where: str) -> Path:
    root, _, name = where.partition("/")
    return {"exec": daemon.exec_root, "data": daemon.data_root}[root] / name


@contextmanager
def a_file_at(path: Path) -> Iterator[None]:
    """Replace a path by a file for the block."""
    aside = path.with_name(f"{path.name}.aside")
    if was_there := path.exists():
        path.rename(aside)
    path.write_text("what is this?")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # the daemon may have removed it already
        if was_there:
            put_back(aside, path)


def put_back(aside: Path, path: Path) -> None:
    """Rename a directory to what it was. The daemon may be first and pin a namespace there."""

    def is_renamed() -> bool:
        for pin in path.iterdir() if path.exists() else ():
            subprocess.run(["umount", "--lazy", pin], check=False, capture_output=True)
            pin.unlink()
        aside.rename(path)
        return True

    eventually(is_renamed, f"{path} is what it was", catch=OSError)


def assert_whole(daemon: DaemonUnderTest, kept: str, pid: int) -> None:
    assert daemon.api.inspect(kept)["State"]["Pid"] == pid
    assert daemon.api.run("another", *STOPS_AT_ONCE)
    daemon.assert_settled()


@pytest.mark.parametrize("where", SWEPT)
def test_a_sweep_finds_a_file_for_a_directory(daemon: DaemonUnderTest, where: str) -> None:
    kept = daemon.api.run("kept", *STOPS_AT_ONCE)
    pid = daemon.api.inspect(kept)["State"]["Pid"]

    with a_file_at(at(daemon, where)):
        eventually(lambda: "path_ignored" in daemon.log, "it is logged")
        assert daemon.api.status(kept) == "running"

    assert_whole(daemon, kept, pid)


@pytest.mark.parametrize("where", AT_START)
def test_a_daemon_starts_with_a_file_for_a_directory(daemon: DaemonUnderTest, where: str) -> None:
    kept = daemon.api.run("kept", *STOPS_AT_ONCE)
    pid = daemon.api.inspect(kept)["State"]["Pid"]
    daemon.terminate()

    with a_file_at(at(daemon, where)):
        daemon.start()
        assert daemon.api.status(kept) == "running"

    assert_whole(daemon, kept, pid)
