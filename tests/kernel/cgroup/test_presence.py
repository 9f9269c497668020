"""Test how existing, damaged and repaired cgroups are reported."""

import os
import signal

import pytest

from engine.domain.container.resources import Resources
from engine.drivers.cgroups import files as cgroup_files
from engine.drivers.cgroups.detect import CgroupDriver
from engine.ports.observation import Presence
from tests.kernel.cgroup.members import (
    ID,
    LIMITS,
    OTHER,
    Member,
    control,
    places,
    wait_quietly,
)


def test_preparing_again_changes_nothing(driver: CgroupDriver) -> None:
    driver.prepare(ID, LIMITS)
    member = Member(driver, wait_quietly)

    driver.prepare(ID, LIMITS)

    assert driver.pids(ID) == {member.pid}
    assert driver.check(ID, member.pid) is Presence.RIGHT
    member.kill()


@pytest.mark.cgroup_v1
def test_a_hierarchy_removed_by_hand_is_damage_and_comes_back(driver: CgroupDriver) -> None:
    driver.prepare(ID, LIMITS)
    next(place for place in places() if (place / ID / "pids.max").exists()).joinpath(ID).rmdir()
    assert driver.check(ID) is Presence.DAMAGED

    driver.prepare(ID, LIMITS)

    assert driver.check(ID) is Presence.RIGHT
    assert control("pids.max") == "100"


def test_a_parent_removed_by_hand_comes_back(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources())
    driver.remove(ID)
    for place in places():
        place.rmdir()

    driver.prepare(ID, LIMITS)

    assert driver.check(ID) is Presence.RIGHT


def test_a_process_moved_out_is_damage_and_is_brought_back_with_its_children(
    driver: CgroupDriver,
) -> None:
    def parent(pipe: int) -> None:
        if os.fork() == 0:
            signal.pause()
        os.write(pipe, b"2")
        signal.pause()

    driver.prepare(ID, Resources())
    member = Member(driver, parent)
    assert member.says() == b"2"
    family = driver.pids(ID)
    for place in places():
        for pid in family:
            cgroup_files.write(place.parent / "cgroup.procs", str(pid))
    assert driver.check(ID, member.pid) is Presence.DAMAGED

    driver.adopt(ID, member.pid, lambda: True)

    assert driver.check(ID, member.pid) is Presence.RIGHT
    assert driver.pids(ID) == family
    assert len(family) == 2
    driver.kill(ID)
    assert member.ended() == -signal.SIGKILL


def test_a_process_that_has_a_pid_after_another_stays_where_it_is(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources())
    member = Member(driver, lambda _: signal.pause())
    for place in places():
        cgroup_files.write(place.parent / "cgroup.procs", str(member.pid))

    driver.adopt(ID, member.pid, lambda: False)

    assert driver.pids(ID) == frozenset()
    os.kill(member.pid, signal.SIGKILL)
    assert member.ended() == -signal.SIGKILL


def test_a_process_that_has_ended_is_no_damage(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources())
    member = Member(driver, lambda _: None)
    os.waitid(os.P_PID, member.pid, os.WEXITED | os.WNOWAIT)

    assert driver.check(ID, member.pid) is Presence.RIGHT
    assert member.ended() == 0
    assert driver.check(ID, member.pid) is Presence.RIGHT


def test_every_method_works_without_a_cgroup(driver: CgroupDriver) -> None:
    driver.remove(ID)
    driver.kill(ID)
    driver.thaw(ID)

    assert driver.check(ID) is Presence.ABSENT
    assert driver.pids(ID) == frozenset()
    assert driver.oom_kills(ID) == 0
    assert not driver.populated(ID)
    assert not driver.is_frozen(ID)
    assert driver.stats(ID).cpu_ns == 0


def test_what_is_ours_is_found_in_any_hierarchy(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources())
    (places()[0] / OTHER).mkdir()
    (places()[0] / "not-a-container").mkdir()

    assert driver.owned() == {ID, OTHER}
    (places()[0] / "not-a-container").rmdir()
