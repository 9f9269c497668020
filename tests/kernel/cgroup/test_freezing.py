"""Test freezing and thawing of containers."""

import os
import signal

import pytest

from engine.domain.container.resources import Resources
from engine.drivers.cgroups.detect import CgroupDriver
from tests.kernel.cgroup.members import (
    ID,
    Member,
    wait_quietly,
)


def chatter(pipe: int) -> None:
    while True:
        os.write(pipe, b".")


def freezes_and_thaws(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources())
    member = Member(driver, chatter)

    driver.freeze(ID)
    member.drain()

    assert driver.is_frozen(ID)
    assert member.is_silent(0.02)
    driver.thaw(ID)
    assert member.says() == b"."
    assert not driver.is_frozen(ID)
    member.kill()


def test_a_frozen_container_stands_still_until_it_is_thawed(driver: CgroupDriver) -> None:
    freezes_and_thaws(driver)


@pytest.mark.cgroup_v1
def test_the_freezer_of_version_1_freezes_too(v1_without_v2: CgroupDriver) -> None:
    freezes_and_thaws(v1_without_v2)


def kills_while_frozen(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources())
    member = Member(driver, wait_quietly)
    driver.freeze(ID)

    driver.kill(ID)

    assert member.ended() == -signal.SIGKILL


def test_a_frozen_container_can_be_killed(driver: CgroupDriver) -> None:
    kills_while_frozen(driver)


@pytest.mark.cgroup_v1
def test_a_container_frozen_by_version_1_can_be_killed(v1_without_v2: CgroupDriver) -> None:
    kills_while_frozen(v1_without_v2)
