"""Test where containers' cgroups are: below parents that enable controllers."""

import gc
import subprocess
import sys

import pytest

from engine.domain.container.phases import Phase
from engine.domain.container.resources import Resources
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.ids import ImageId
from engine.drivers.cgroups import detect as cgroup
from engine.drivers.cgroups.cgroup_parents import PARENTS_MAX, Cgroups
from engine.drivers.cgroups.driver import CgroupDriver
from engine.drivers.cgroups.hierarchies import Hierarchies, find_hierarchies
from engine.runtime.mountinfo import MountEntry
from tests.kernel.cgroup.members import (
    ID,
    LIMITS,
    PARENT,
    Member,
    places,
    wait_quietly,
)


def test_a_deeply_nested_parent_cgroup_delegates_all_controllers() -> None:
    deep = cgroup.detect(f"{PARENT}/a/b")
    deep.prepare(ID, LIMITS)
    member = Member(deep, wait_quietly)

    assert deep.pids(ID) == {member.pid}
    assert deep.stats(ID).pids_max == 100

    member.kill()
    deep.remove(ID)
    for name in (f"{PARENT}/a/b", f"{PARENT}/a", PARENT):
        for place in places(name):
            place.rmdir()
    assert places() == []


STEP_ASIDE = """
import os, sys
from engine.domain.container.resources import Resources
from engine.drivers.cgroups import detect as cgroup
own, container = sys.argv[1:]
os.makedirs(f"/sys/fs/cgroup/{own}")
open(f"/sys/fs/cgroup/{own}/cgroup.procs", "w").write("0")
driver = cgroup.detect(f"{own}/containers")
driver.prepare(container, Resources(pids_max=9))
print(open("/proc/self/cgroup").read().strip(), driver.stats(container).pids_max)
driver.remove(container)
for parent in driver._parents:
    parent.rmdir()
open("/sys/fs/cgroup/cgroup.procs", "w").write("0")
os.rmdir(f"/sys/fs/cgroup/{own}/shipslog-engine")
os.rmdir(f"/sys/fs/cgroup/{own}")
"""


@pytest.mark.cgroup_v2
def test_an_engine_in_a_delegated_cgroup_steps_aside() -> None:
    """As under systemd with Delegate=yes: a cgroup that enables controllers can't have processes of
    its own.
    """
    done = subprocess.run(
        [sys.executable, "-c", STEP_ASIDE, PARENT, ID], capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == f"0::/{PARENT}/shipslog-engine 9", done.stderr
    assert places() == []


def test_any_number_of_parents_keeps_a_bounded_number_of_drivers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They all share one detection of the hierarchies."""
    looks: list[object] = []

    def noted(mounts: list[MountEntry]) -> Hierarchies:
        looks.append(mounts)
        return find_hierarchies(mounts)

    monkeypatch.setattr(cgroup, "find_hierarchies", noted)
    cgroups = Cgroups(PARENT)
    before = count_drivers()

    for number in range(5 * PARENTS_MAX):
        driver = cgroups.of(below(f"/job-{number}"))
        assert all(f"/job-{number}/{ID}/" in path for path in driver.procs_files(ID))

    assert len(looks) == 1
    assert count_drivers() - before <= PARENTS_MAX
    assert cgroups.of(below("/job-0")) is cgroups.of(below("job-0/"))
    assert cgroups.of(below("")) is cgroups.own


def count_drivers() -> int:
    gc.collect()
    return sum(isinstance(each, CgroupDriver) for each in gc.get_objects())


def below(parent: str) -> Container:
    spec = Spec(
        image="busybox", image_id=ImageId("sha256:1"), resources=Resources(cgroup_parent=parent)
    )
    return Container(id=ID, name="web", spec=spec, created_ns=1, phase=Phase.CREATED)
