"""Test reading the usage of a running container, without entering it."""

import os

import trio

from engine.domain.container.events import ProcessIdentity
from engine.domain.container.phases import Phase
from engine.domain.container.resources import Resources
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.ids import ImageId
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.cgroups.detect import CgroupDriver
from engine.drivers.lanes import Lanes
from engine.drivers.processes.identity import boot_id
from engine.drivers.usage import LinuxUsage, interfaces, machine_cpu
from engine.runtime.process_stat import process_stat
from tests.kernel.cgroup.members import ID, MIB, PARENT, Member, wait_quietly


def container(process: ProcessIdentity, mode: str = "bridge") -> Container:
    spec = Spec(image="busybox", image_id=ImageId("sha256:1"), network_mode=mode)
    return Container(
        id=ID, name="web", spec=spec, created_ns=1, phase=Phase.RUNNING, process=process
    )


def identity_of(pid: int) -> ProcessIdentity:
    stat = process_stat(pid)
    assert stat is not None
    return ProcessIdentity(pid=pid, start_ticks=stat.start_ticks, boot_id=boot_id())


def test_a_sample_has_every_counter(driver: CgroupDriver) -> None:
    driver.prepare(ID, Resources(memory_bytes=64 * MIB, pids_max=9))
    member = Member(driver, wait_quietly)
    usage = LinuxUsage(Cgroups(PARENT), Lanes())

    found = trio.run(usage.sample, container(identity_of(member.pid)))

    assert found is not None
    assert found.counters.memory_limit_bytes == 64 * MIB
    assert (found.counters.pids, found.counters.pids_max) == (1, 9)
    assert found.cpus_online == os.cpu_count()
    assert found.machine_cpu_ns <= machine_cpu()[0]
    member.kill()


def test_a_reused_pid_is_not_taken_for_the_old_process(driver: CgroupDriver) -> None:
    stranger = ProcessIdentity(pid=os.getpid(), start_ticks=1, boot_id="another")
    usage = LinuxUsage(Cgroups(PARENT), Lanes())

    assert trio.run(usage.sample, container(stranger)) is None


def test_the_loopback_is_not_counted() -> None:
    assert "lo" not in interfaces(os.getpid())
    assert interfaces(2**22 + 1) == {}
