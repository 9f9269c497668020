"""Test that cgroups are removed when the last process has ended."""

import pytest

from engine.domain.container.resources import Resources
from engine.drivers.cgroups import driver as cgroup_driver
from engine.drivers.cgroups.detect import CgroupDriver
from engine.errors import DriverError
from engine.ports.observation import Presence
from tests.kernel.cgroup.members import (
    ID,
    Member,
    places,
    wait_quietly,
)


def test_removal_deletes_the_cgroups_that_the_container_made(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources())
    for place in places():
        (place / ID / "init.scope" / "deeper").mkdir(parents=True)

    driver.remove(ID)

    assert [place for place in places() if (place / ID).exists()] == []
    assert driver.check(ID) is Presence.ABSENT


def test_removal_waits_for_the_last_process_to_leave(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources())
    member = Member(driver, wait_quietly)

    driver.kill(ID)
    driver.remove(ID)

    assert driver.check(ID) is Presence.ABSENT
    member.ended()


def test_removal_gives_up_on_a_process_that_stays(
    driver: CgroupDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup_driver, "REMOVE_TIMEOUT_S", 0.01)
    driver.prepare(ID, Resources())
    member = Member(driver, wait_quietly)

    with pytest.raises(DriverError, match="processes are still in it"):
        driver.remove(ID)

    member.kill()
    driver.remove(ID)
