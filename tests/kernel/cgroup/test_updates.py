"""Test limits that are reset, and limits of single devices."""

import os
from pathlib import Path

import pytest

from engine.domain.container.resources import BlockLimits, DeviceRate, Resources
from engine.drivers.cgroups.detect import CgroupDriver
from engine.errors import DriverError
from tests.kernel.cgroup.members import ID, LIMITS, MIB, control


@pytest.mark.cgroup_v1
def test_whole_limits_leave_nothing_of_others_in_version_1(driver: CgroupDriver) -> None:
    driver.prepare(ID, LIMITS)

    driver.update(ID, Resources(cpu_shares=300), whole=True)

    assert control("cpu.shares") == "300"
    assert (control("cpu.cfs_quota_us"), control("cpu.cfs_period_us")) == ("-1", "100000")
    assert control("pids.max") == "max"
    assert int(control("memory.limit_in_bytes")) > 1 << 60
    assert int(control("memory.memsw.limit_in_bytes")) > 1 << 60
    assert control("cpuset.cpus") != LIMITS.cpuset_cpus


@pytest.mark.cgroup_v2
def test_whole_limits_leave_nothing_of_others_in_version_2(driver: CgroupDriver) -> None:
    driver.prepare(ID, LIMITS)

    driver.update(ID, Resources(pids_max=5), whole=True)

    assert control("pids.max") == "5"
    assert (control("cpu.weight"), control("cpu.max")) == ("100", "max 100000")
    assert (control("memory.max"), control("memory.low")) == ("max", "0")
    assert control("cpuset.cpus") == ""


@pytest.mark.cgroup_v1
def test_swap_without_limit_may_come_with_more_memory(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources(memory_bytes=64 * MIB))

    driver.update(ID, Resources(memory_bytes=256 * MIB, memory_swap_bytes=-1))

    assert control("memory.limit_in_bytes") == str(256 * MIB)
    assert int(control("memory.memsw.limit_in_bytes")) > 1 << 60


@pytest.mark.cgroup_v1
def test_a_real_time_budget_without_one_of_the_parent_is_refused(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources())

    with pytest.raises(DriverError, match=r'failed to write "1000": write .*cpu.rt_runtime_us: '):
        driver.update(ID, Resources(cpu_realtime_runtime_us=1000))


def test_rates_are_limited_by_device(driver: CgroupDriver) -> None:
    path = block_device()
    rate = (DeviceRate(path=path, value=MIB),)
    status = Path(path).stat()
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"

    driver.prepare(ID, Resources(block=BlockLimits(read_bytes=rate)))

    v1, v2 = f"{number} {MIB}", f"{number} rbps={MIB} wbps=max riops=max wiops=max"
    assert shown("blkio.throttle.read_bps_device", "io.max") in (v1, v2)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/dev/no-such-device", "stat /dev/no-such-device: no such file or directory"),
        ("/dev/null", "/dev/null is not a block device"),
    ],
)
def test_what_is_no_block_device_has_no_rate(path: str, words: str, driver: CgroupDriver) -> None:
    rates = (DeviceRate(path=path, value=1),)

    with pytest.raises(DriverError) as refusal:
        driver.prepare(ID, Resources(block=BlockLimits(write_operations=rates)))

    assert str(refusal.value) == words


def block_device() -> str:
    """Return a whole disk: partitions have no limits of their own."""
    names = sorted(path.name for path in Path("/sys/block").iterdir())
    return next(f"/dev/{name}" for name in names if Path(f"/dev/{name}").is_block_device())


def shown(*names: str) -> str:
    """Return the first of these control files that exists."""
    for name in names:
        try:
            return control(name)
        except StopIteration:
            continue
    raise AssertionError(f"there is none of {names}")
