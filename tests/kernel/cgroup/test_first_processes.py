"""Test that every move, thaw and end of a first process is noticed without looking at all."""

import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from engine.domain.container.events import ProcessIdentity
from engine.domain.container.phases import Phase
from engine.domain.container.resources import Resources
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ImageId
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.cgroups.driver import CgroupDriver
from engine.drivers.effects import first_processes
from engine.drivers.effects.first_processes import FirstProcesses
from engine.drivers.processes.identity import boot_id
from engine.runtime.process_stat import process_stat
from tests.harness.kernel_inventory import hierarchies
from tests.kernel.cgroup.members import ID, OTHER, PARENT, Member, wait_quietly

pytestmark = pytest.mark.root
SPEC = Spec(image="busybox", image_id=ImageId("sha256:" + "1" * 64), command=("sleep",))


@pytest.fixture
def watched() -> Iterator[FirstProcesses]:
    with closing(FirstProcesses(Cgroups(PARENT))) as made:
        yield made


@pytest.fixture
def members(driver: CgroupDriver) -> Iterator[list[Member]]:
    """Two processes, each in the cgroups of a container."""
    for container in (ID, OTHER):
        driver.prepare(container, Resources())
    made = [Member(driver, wait_quietly, ID), Member(driver, wait_quietly, OTHER)]
    yield made
    for member in made:
        with suppress(ProcessLookupError):
            member.kill()


def container(identity: ContainerId, member: Member, phase: Phase = Phase.RUNNING) -> Container:
    stat = process_stat(member.pid)
    assert stat is not None
    process = ProcessIdentity(pid=member.pid, start_ticks=stat.start_ticks, boot_id=boot_id())
    return Container(id=identity, name="c", spec=SPEC, created_ns=1, phase=phase, process=process)


def look(watched: FirstProcesses, members: list[Member]) -> None:
    """Look at all, after what was heard before."""
    watched.has_changes()
    one, other = members
    assert not watched.misplaced([container(ID, one), container(OTHER, other)])


def run(command: str) -> None:
    """Have another process do it."""
    subprocess.run(["sh", "-c", command], check=True)


def test_what_stays_where_it_belongs_is_no_news(
    watched: FirstProcesses, members: list[Member]
) -> None:
    look(watched, members)

    run(f"echo $$ > {next(iter(hierarchies().values()))}/cgroup.procs")

    assert not watched.has_changes()


@pytest.mark.parametrize("read_max", [1, 250])
def test_a_moved_process_is_noticed(
    watched: FirstProcesses,
    members: list[Member],
    read_max: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(first_processes, "READ_MAX", read_max)
    for member in members:
        look(watched, members)

        for root in hierarchies().values():
            run(f"echo {member.pid} > {root}/cgroup.procs")

        calls = -(-len(members) // read_max)
        assert any(watched.has_changes() for _ in range(calls))
        assert len(watched.misplaced([container(ID, members[0])])) == (member is members[0])
        for one, identity in zip(members, (ID, OTHER), strict=True):
            watched.cgroups.own.adopt(identity, one.pid, lambda: True)


def test_a_thaw_is_noticed(
    watched: FirstProcesses, members: list[Member], driver: CgroupDriver
) -> None:
    driver.freeze(ID)
    watched.has_changes()
    assert not watched.misplaced([container(ID, members[0], Phase.PAUSED)])
    assert not watched.has_changes()

    for root in hierarchies().values():
        place = f"{root}/{PARENT}/{ID}"
        run(f"test ! -e {place}/cgroup.freeze || echo 0 > {place}/cgroup.freeze")
        run(f"test ! -e {place}/freezer.state || echo THAWED > {place}/freezer.state")

    assert watched.has_changes()


def test_an_end_is_noticed(watched: FirstProcesses, members: list[Member]) -> None:
    look(watched, members)

    members[0].kill()

    assert watched.has_changes()
