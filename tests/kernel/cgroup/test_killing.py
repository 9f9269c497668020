"""Test that a kill reaches all processes in a container, and no others."""

import contextlib
import os
import signal

import pytest

from engine.domain.container.resources import Resources
from engine.drivers.cgroups import files as cgroup_files
from engine.drivers.cgroups.detect import CgroupDriver
from engine.drivers.cgroups.hierarchies import find_hierarchies
from engine.runtime.mountinfo import mounts
from tests.kernel.cgroup.members import (
    ID,
    OTHER,
    Member,
    eventually,
    wait_quietly,
)


def breed(_: int) -> None:
    """Run a fork bomb, which the limit of processes bounds."""
    while True:
        with contextlib.suppress(BlockingIOError):
            os.fork()


def kills_a_fork_bomb(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources(pids_max=40))
    member = Member(driver, breed)
    assert eventually(lambda: len(driver.pids(ID)) > 20)

    driver.kill(ID)

    assert eventually(lambda: not driver.populated(ID))
    assert driver.pids(ID) == frozenset()
    assert member.ended() == -signal.SIGKILL


def test_killing_reaches_children_created_meanwhile(driver: CgroupDriver) -> None:
    kills_a_fork_bomb(driver)


@pytest.mark.cgroup_v1
def test_killing_reaches_children_created_meanwhile_without_version_2(
    v1_without_v2: CgroupDriver,
) -> None:
    kills_a_fork_bomb(v1_without_v2)


@pytest.mark.cgroup_v1
def test_killing_reaches_a_process_that_left_only_the_hierarchy_that_kills(
    driver: CgroupDriver,
) -> None:
    driver.prepare(ID, Resources())
    member = Member(driver, wait_quietly)
    unified = find_hierarchies(mounts()).unified
    assert unified is not None
    cgroup_files.write(unified / "cgroup.procs", str(member.pid))

    driver.kill(ID)

    assert member.ended() == -signal.SIGKILL


def test_killing_leaves_other_containers_alone(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources())
    driver.prepare(OTHER, Resources())
    member, neighbour = Member(driver, wait_quietly), Member(driver, wait_quietly, OTHER)

    driver.kill(ID)

    assert member.ended() == -signal.SIGKILL
    assert driver.pids(OTHER) == {neighbour.pid}
    neighbour.kill()
