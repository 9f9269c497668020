"""Which cgroup the containers' are made in: the engine's own, or another that a container asked for (``--cgroup-parent``).

One driver for each parent. A parent that was asked for is somebody else's: made if it is missing, and left when its last
container has gone, as other engines do, for it may have limits of its own.
"""

import posixpath
from collections.abc import Collection

from engine.domain.container import Container
from engine.domain.ids import ContainerId
from engine.drivers.cgroups.detect import detect
from engine.drivers.cgroups.driver import CgroupDriver


class Cgroups:
    """The drivers of one engine. Safe to use from several threads."""

    def __init__(self, parent: str) -> None:
        """``parent`` is the engine's own, relative to each hierarchy's root."""
        self.own = detect(parent)
        self._others: dict[str, CgroupDriver] = {}

    def of(self, container: Container) -> CgroupDriver:
        """The driver that has a container's cgroups."""
        asked = container.spec.resources.cgroup_parent
        if not asked:
            return self.own
        parent = posixpath.normpath(f"/{asked}").strip("/")
        driver = self._others.get(parent)
        return driver or self._others.setdefault(parent, detect(parent))

    def owned(self, known: Collection[Container]) -> frozenset[ContainerId]:
        """Every container that has a cgroup: in the engine's own parent whoever it is, elsewhere those that are known."""
        elsewhere: dict[CgroupDriver, set[ContainerId]] = {}
        for container in known:
            if container.spec.resources.cgroup_parent:
                elsewhere.setdefault(self.of(container), set()).add(container.id)
        found = (driver.owned() & mine for driver, mine in elsewhere.items())
        return self.own.owned().union(*found)
