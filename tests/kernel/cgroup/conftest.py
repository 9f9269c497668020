"""Provide drivers of this machine's cgroups, below a parent of their own."""

from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from engine.drivers.cgroups import detect as cgroup
from engine.drivers.cgroups.detect import CgroupDriver
from engine.drivers.cgroups.hierarchies import Hierarchies, find_hierarchies
from engine.drivers.cgroups.v1 import V1Driver
from engine.runtime.mountinfo import mounts
from tests.kernel.cgroup.members import ID, PARENT, places


@pytest.fixture
def driver() -> Iterator[CgroupDriver]:
    found = cgroup.detect(PARENT)
    yield found
    for container in found.owned():
        found.kill(container)
        found.remove(container)
    remove_parents()


@pytest.fixture
def v1_without_v2() -> Iterator[CgroupDriver]:
    """Return a driver as on an old machine: no cgroup2 beside version 1."""
    found = find_hierarchies(mounts())
    driver = V1Driver(Hierarchies(found.controllers, None), PurePosixPath(PARENT))
    yield driver
    driver.kill(ID)
    driver.remove(ID)
    remove_parents()


def remove_parents() -> None:
    """Remove the cgroup that held those of containers, which must be gone."""
    for place in places():
        place.rmdir()
