"""Writes to control files are heard of, when another process made them."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.domain.container.resources import Resources
from engine.drivers.cgroups.detect import CgroupDriver
from engine.drivers.cgroups.write_watch import WriteWatch
from engine.runtime import linux
from tests.harness.conditions import eventually
from tests.harness.kernel_inventory import hierarchies
from tests.kernel.cgroup.members import ID

pytestmark = pytest.mark.root


@pytest.fixture
def watch(driver: CgroupDriver) -> Iterator[WriteWatch]:
    with closing(WriteWatch(driver.roots)) as made:
        assert made.has_changes(), "what happened before was not heard"
        if not made.can_tell:
            pytest.skip("this kernel has no identifiers for files of cgroups")
        yield made


def write(path: Path, text: str) -> None:
    """Have another process write."""
    subprocess.run(["sh", "-c", f"echo {text} > {path}"], check=True)


@pytest.mark.parametrize("hierarchy", hierarchies().values(), ids=hierarchies())
def test_a_move_of_a_process_is_heard_of(watch: WriteWatch, hierarchy: Path) -> None:
    write(hierarchy / "cgroup.procs", "$$")

    assert watch.has_changes()


def test_what_this_process_writes_is_no_news(watch: WriteWatch, driver: CgroupDriver) -> None:
    """Others on this machine may write meanwhile, but not each time."""

    def only_we_wrote() -> bool:
        watch.has_changes()
        driver.prepare(ID, Resources(pids_max=50))
        return not watch.has_changes()

    eventually(only_we_wrote, "nothing is heard of it")


def test_without_the_kernels_help_the_answer_is_yes(
    driver: CgroupDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(linux, "fanotify_mark", refuse)
    with closing(WriteWatch(driver.roots)) as watch:
        assert watch.has_changes()
        assert watch.has_changes()
