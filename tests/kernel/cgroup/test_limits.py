"""Test that limits are set in the kernel, and counters are read from it: in whichever version this
machine has.
"""

import os
import signal
import time

import pytest

from engine.domain.container.resources import Resources
from engine.drivers.cgroups.detect import CgroupDriver
from tests.kernel.cgroup.members import (
    ID,
    LIMITS,
    MIB,
    Member,
    control,
)


@pytest.mark.cgroup_v1
def test_limits_are_those_asked_for_in_version_1(driver: CgroupDriver) -> None:
    driver.prepare(ID, LIMITS)

    assert control("memory.limit_in_bytes") == str(64 * MIB)
    assert control("memory.memsw.limit_in_bytes") == str(96 * MIB)
    assert control("memory.soft_limit_in_bytes") == str(32 * MIB)
    assert control("cpu.shares") == "512"
    assert (control("cpu.cfs_quota_us"), control("cpu.cfs_period_us")) == ("50000", "100000")
    assert (control("cpuset.cpus"), control("cpuset.mems")) == ("0", "0")
    assert control("pids.max") == "100"


@pytest.mark.cgroup_v2
def test_limits_are_those_asked_for_in_version_2(driver: CgroupDriver) -> None:
    driver.prepare(ID, LIMITS)

    assert control("memory.max") == str(64 * MIB)
    assert control("memory.swap.max") == str(32 * MIB)
    assert control("memory.low") == str(32 * MIB)
    assert control("cpu.weight") == "20"
    assert control("cpu.max") == "50000 100000"
    assert (control("cpuset.cpus"), control("cpuset.mems")) == ("0", "0")
    assert control("pids.max") == "100"


@pytest.mark.cgroup_v1
def test_memory_goes_up_and_down_in_version_1(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources(memory_bytes=64 * MIB))
    for size in (512 * MIB, 32 * MIB):
        driver.update(ID, Resources(memory_bytes=size))

        assert control("memory.limit_in_bytes") == str(size)
        assert control("memory.memsw.limit_in_bytes") == str(2 * size)


@pytest.mark.cgroup_v2
def test_memory_goes_up_and_down_in_version_2(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources(memory_bytes=64 * MIB))
    for size in (512 * MIB, 32 * MIB):
        driver.update(ID, Resources(memory_bytes=size))

        assert (control("memory.max"), control("memory.swap.max")) == (str(size), str(size))


def test_an_update_leaves_alone_what_it_does_not_name(driver: CgroupDriver) -> None:
    driver.prepare(ID, LIMITS)

    driver.update(ID, Resources(pids_max=7))
    driver.update(ID, Resources(cpuset_cpus="0-1"))

    assert (control("pids.max"), control("cpuset.cpus")) == ("7", "0-1")
    driver.update(ID, Resources(pids_max=-1))
    assert control("pids.max") == "max"


def take_memory(_: int) -> None:
    hoard = bytearray(256 * MIB)
    hoard[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * (len(hoard) // os.sysconf("SC_PAGE_SIZE"))


def test_too_much_memory_is_an_oom_kill_and_is_counted(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources(memory_bytes=16 * MIB, memory_swap_bytes=16 * MIB))
    assert driver.oom_kills(ID) == 0

    member = Member(driver, take_memory)

    assert member.ended() == -signal.SIGKILL
    assert driver.oom_kills(ID) == 1


def test_too_many_processes_are_refused(driver: CgroupDriver) -> None:
    def fork_until_refused(pipe: int) -> None:
        try:
            while os.fork():
                pass
            signal.pause()
        except BlockingIOError:
            os.write(pipe, b"E")
            signal.pause()

    driver.prepare(ID, Resources(pids_max=4))
    member = Member(driver, fork_until_refused)

    assert member.says() == b"E"
    assert len(driver.pids(ID)) == driver.stats(ID).pids == 4
    assert driver.stats(ID).pids_max == 4
    driver.kill(ID)
    member.ended()


def test_counters_show_what_was_used(driver: CgroupDriver) -> None:
    def burn(pipe: int) -> None:
        end = time.process_time() + 0.03
        while time.process_time() < end:
            pass
        os.write(pipe, b"x")
        signal.pause()

    driver.prepare(ID, Resources(memory_bytes=64 * MIB))
    member = Member(driver, burn)
    assert member.says() == b"x"

    found = driver.stats(ID)

    assert 20_000_000 < found.cpu_ns < 1_000_000_000
    assert 0 < found.memory_bytes < found.memory_limit_bytes == 64 * MIB  # type: ignore[operator]  # None would fail too
    assert found.memory_detail
    assert (found.pids, found.pids_max) == (1, None)
    member.kill()
