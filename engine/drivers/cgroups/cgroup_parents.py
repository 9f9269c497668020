"""Choose the parent of a container's cgroups: the engine's, or ``--cgroup-parent``.

There is one driver for each parent. A parent named by a user may have limits of its own: it is
created if it is missing, and left when its last container has gone, as other engines do.

Only the most recently used drivers are kept, because users may name a new parent for each
container. A driver holds no descriptor and takes microseconds to create: the hierarchies and the
BPF programs are shared by all.
"""

import posixpath
from collections.abc import Collection
from functools import lru_cache
from typing import Final

from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.drivers.cgroups.detect import detect
from engine.drivers.cgroups.driver import CgroupDriver

PARENTS_MAX: Final = 64
"""How many drivers are kept."""


class Cgroups:
    """The cgroup drivers of one engine. Safe to use from several threads."""

    def __init__(self, parent: str) -> None:
        """Detect the machine's hierarchies; ``parent`` is the engine's own, relative to each
        hierarchy's root.
        """
        self.own = detect(parent)
        self._below = lru_cache(maxsize=PARENTS_MAX)(self.own.below)

    def of(self, container: Container) -> CgroupDriver:
        """Return the driver for a container's cgroups."""
        asked = container.spec.resources.cgroup_parent
        if not asked:
            return self.own
        return self._below(posixpath.normpath(f"/{asked}").strip("/"))

    def owned(self, known: Collection[Container]) -> frozenset[ContainerId]:
        """Return all containers that have a cgroup: any in the engine's own parent, only the known
        ones in other parents.
        """
        elsewhere: dict[str, list[Container]] = {}
        for container in known:
            if parent := container.spec.resources.cgroup_parent:
                elsewhere.setdefault(parent, []).append(container)
        found = (
            self.of(some[0]).owned() & {each.id for each in some} for some in elsewhere.values()
        )
        return self.own.owned().union(*found)
