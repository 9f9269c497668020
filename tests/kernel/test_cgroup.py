"""Control groups do what the driver says, in whichever version this machine has, and leave nothing behind."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from engine.domain.ids import ContainerId
from engine.domain.resources import DeviceRule, Resources
from engine.drivers import cgroup, cgroup_driver, cgroup_files
from engine.drivers.cgroup import CgroupDriver
from engine.drivers.cgroup_hierarchies import MOUNTINFO, Hierarchies, find_hierarchies
from engine.drivers.cgroup_v1 import V1Driver
from engine.errors import DriverError
from engine.supervisor.observation import Presence

MIB = 1 << 20
ID = ContainerId("c0" * 32)
OTHER = ContainerId("d1" * 32)
PARENT = f"shipslog-test-{os.getpid()}"
PATIENCE_S = 5.0
KMSG = os.makedev(1, 11)


def places(name: str = PARENT) -> list[Path]:
    found = find_hierarchies(MOUNTINFO.read_text())
    roots = {*found.controllers.values(), *([found.unified] if found.unified else [])}
    return [root / name for root in roots if (root / name).exists()]


@pytest.fixture
def driver() -> Iterator[CgroupDriver]:
    found = cgroup.detect(PARENT)
    yield found
    for container in found.owned():
        found.kill(container)
        found.remove(container)
    found.remove_parent()
    assert places() == []


@pytest.fixture
def v1_without_v2() -> Iterator[CgroupDriver]:
    """As on an old machine: no cgroup2 beside version 1."""
    found = find_hierarchies(MOUNTINFO.read_text())
    driver = V1Driver(Hierarchies(found.controllers, None), PurePosixPath(PARENT))
    yield driver
    driver.kill(ID)
    driver.remove(ID)
    driver.remove_parent()
    assert places() == []


def control(name: str, container: ContainerId = ID) -> str:
    """A control file's content, wherever its controller is."""
    found = [place / container / name for place in places()]
    return next(path.read_text().strip() for path in found if path.exists())


class Member:
    """A process in a container's cgroups that does one thing."""

    def __init__(
        self, driver: CgroupDriver, work: Callable[[int], object], container: ContainerId = ID
    ) -> None:
        files = driver.procs_files(container)
        self._pipe, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for path in files:
                    cgroup_files.write(Path(path), "0")
                os.write(theirs, b"!")
                work(theirs)
            except BaseException:  # nothing may unwind into a copy of the test's stack
                os._exit(99)
            finally:
                os._exit(0)
        os.close(theirs)
        assert os.read(self._pipe, 1) == b"!", "it could not join"

    def says(self) -> bytes:
        """What it writes next; empty when it has ended."""
        return os.read(self._pipe, 1)

    def is_silent(self, for_s: float) -> bool:
        return not select.select([self._pipe], [], [], for_s)[0]

    def drain(self) -> None:
        while not self.is_silent(0):
            os.read(self._pipe, 65536)

    def ended(self) -> int:
        """Its exit status, negative for a signal."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self._pipe)
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.ended()


def wait_quietly(_: int) -> None:
    signal.pause()


def chatter(pipe: int) -> None:
    while True:
        os.write(pipe, b".")


def take_memory(_: int) -> None:
    hoard = bytearray(256 * MIB)
    hoard[:: os.sysconf("SC_PAGE_SIZE")] = b"x" * (len(hoard) // os.sysconf("SC_PAGE_SIZE"))


def breed(_: int) -> None:
    """A fork bomb; the limit of processes is what keeps it from being one."""
    while True:
        with contextlib.suppress(BlockingIOError):
            os.fork()


def eventually(condition: Callable[[], bool]) -> bool:
    return cgroup_files.retry(condition, time.monotonic() + PATIENCE_S)


LIMITS = Resources(
    memory_bytes=64 * MIB,
    memory_swap_bytes=96 * MIB,
    memory_reservation_bytes=32 * MIB,
    cpu_shares=512,
    nano_cpus=500_000_000,
    cpuset_cpus="0",
    cpuset_mems="0",
    pids_max=100,
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

    driver.adopt(ID, member.pid)

    assert driver.check(ID, member.pid) is Presence.RIGHT
    assert driver.pids(ID) == family
    assert len(family) == 2
    driver.kill(ID)
    assert member.ended() == -signal.SIGKILL


def test_a_process_that_has_ended_is_no_damage(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources())
    member = Member(driver, lambda _: None)
    os.waitid(os.P_PID, member.pid, os.WEXITED | os.WNOWAIT)

    assert driver.check(ID, member.pid) is Presence.RIGHT
    assert member.ended() == 0
    assert driver.check(ID, member.pid) is Presence.RIGHT


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
def test_the_freezer_of_version_1_does_the_same(v1_without_v2: CgroupDriver) -> None:
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


def kills_a_fork_bomb(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources(pids_max=40))
    member = Member(driver, breed)
    assert eventually(lambda: len(driver.pids(ID)) > 20)

    driver.kill(ID)

    assert eventually(lambda: not driver.populated(ID))
    assert driver.pids(ID) == frozenset()
    assert member.ended() == -signal.SIGKILL


def test_killing_reaches_children_born_meanwhile(driver: CgroupDriver) -> None:
    kills_a_fork_bomb(driver)


@pytest.mark.cgroup_v1
def test_killing_reaches_children_born_meanwhile_without_version_2(
    v1_without_v2: CgroupDriver,
) -> None:
    kills_a_fork_bomb(v1_without_v2)


@pytest.mark.cgroup_v1
def test_killing_reaches_a_process_that_left_only_the_hierarchy_that_kills(
    driver: CgroupDriver,
) -> None:
    driver.prepare(ID, Resources())
    member = Member(driver, wait_quietly)
    unified = find_hierarchies(MOUNTINFO.read_text()).unified
    assert unified is not None
    cgroup_files.write(unified / "cgroup.procs", str(member.pid))

    driver.kill(ID)

    assert member.ended() == -signal.SIGKILL


def test_killing_spares_the_neighbours(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources())
    driver.prepare(OTHER, Resources())
    member, neighbour = Member(driver, wait_quietly), Member(driver, wait_quietly, OTHER)

    driver.kill(ID)

    assert member.ended() == -signal.SIGKILL
    assert driver.pids(OTHER) == {neighbour.pid}
    neighbour.kill()


def test_removal_takes_what_the_container_made_below(driver: CgroupDriver) -> None:
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


def test_everything_may_be_asked_of_a_container_that_is_not_there(driver: CgroupDriver) -> None:
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


def test_counters_tell_what_was_used(driver: CgroupDriver) -> None:
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


def device_answers(driver: CgroupDriver, tmp_path: Path) -> str:
    """Whether a member may read null, make a node of kmsg, read it, write it."""
    node = tmp_path / "kmsg"

    def attempt(pipe: int) -> None:
        os.write(pipe, tried(lambda: os.open("/dev/null", os.O_RDWR)))
        os.write(pipe, tried(lambda: os.mknod(node, 0o600 | 0o020000, KMSG)))
        os.write(pipe, tried(lambda: os.open(node, os.O_RDONLY)))
        os.write(pipe, tried(lambda: os.open(node, os.O_WRONLY)))

    member = Member(driver, attempt)
    answers = b"".join(iter(member.says, b"")).decode()
    member.ended()
    node.unlink()
    return answers


def tried(attempt: Callable[[], object]) -> bytes:
    try:
        attempt()
    except PermissionError:
        return b"-"
    return b"+"


def test_only_the_usual_devices_may_be_opened_but_any_be_made(
    driver: CgroupDriver, tmp_path: Path
) -> None:
    driver.prepare(ID, Resources())

    assert device_answers(driver, tmp_path) == "++--"


def test_a_device_may_be_opened_in_the_ways_it_was_allowed(
    driver: CgroupDriver, tmp_path: Path
) -> None:
    rule = DeviceRule(kind="c", major=1, minor=11, access="r")
    driver.prepare(ID, Resources(device_rules=(rule,)))

    assert device_answers(driver, tmp_path) == "+++-"


def test_a_privileged_container_may_open_all_devices(driver: CgroupDriver, tmp_path: Path) -> None:
    driver.prepare(ID, Resources(), all_devices=True)

    assert device_answers(driver, tmp_path) == "++++"


def test_rules_may_change_while_a_container_exists(driver: CgroupDriver, tmp_path: Path) -> None:
    ban = DeviceRule(kind="c", major=1, minor=3, allow=False)
    driver.prepare(ID, Resources())
    driver.prepare(ID, Resources(), all_devices=True)
    assert device_answers(driver, tmp_path) == "++++"

    driver.prepare(ID, Resources(device_rules=(ban,)))

    assert device_answers(driver, tmp_path) == "-+--"


def test_a_deep_parent_hands_everything_down() -> None:
    deep = cgroup.detect(f"{PARENT}/a/b")
    deep.prepare(ID, LIMITS)
    member = Member(deep, wait_quietly)

    assert deep.pids(ID) == {member.pid}
    assert deep.stats(ID).pids_max == 100

    member.kill()
    deep.remove(ID)
    deep.remove_parent()
    for name in (f"{PARENT}/a", PARENT):
        for place in places(name):
            place.rmdir()
    assert places() == []


STEP_ASIDE = """
import os, sys
from engine.domain.resources import Resources
from engine.drivers import cgroup
own, container = sys.argv[1:]
os.makedirs(f"/sys/fs/cgroup/{own}")
open(f"/sys/fs/cgroup/{own}/cgroup.procs", "w").write("0")
driver = cgroup.detect(f"{own}/containers")
driver.prepare(container, Resources(pids_max=9))
print(open("/proc/self/cgroup").read().strip(), driver.stats(container).pids_max)
driver.remove(container)
driver.remove_parent()
open("/sys/fs/cgroup/cgroup.procs", "w").write("0")
os.rmdir(f"/sys/fs/cgroup/{own}/shipslog-engine")
os.rmdir(f"/sys/fs/cgroup/{own}")
"""


@pytest.mark.cgroup_v2
def test_an_engine_in_a_delegated_cgroup_steps_aside() -> None:
    """As under systemd with Delegate=yes: a cgroup that hands controllers down can't have processes of its own."""
    done = subprocess.run(
        [sys.executable, "-c", STEP_ASIDE, PARENT, ID], capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == f"0::/{PARENT}/shipslog-engine 9", done.stderr
    assert places() == []
