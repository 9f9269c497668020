"""Choose the cgroup driver that fits the machine.

One interface, two drivers. The choice is detected, not configured:

    /sys/fs/cgroup is cgroup2, nothing else   →  cgroup_v2   every controller in one hierarchy
    controllers are mounted by themselves     →  cgroup_v1   one hierarchy each; a cgroup2 beside
                                                             them ("hybrid") has no controllers,
                                                             and is used to freeze and kill

Below every hierarchy's root there is one *parent* of this engine, and in it a directory for each
container, named by its ID:

    /sys/fs/cgroup/memory/PARENT/CONTAINER/…        /sys/fs/cgroup/PARENT/CONTAINER/…

So all cgroups of the engine are found by listing the parents, even after a crash. Everything here
is synchronous, quick, and idempotent; to be called on a thread. Sources:
Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/, cgroups(7).
"""

from engine.drivers.cgroups.driver import CgroupDriver, relative
from engine.drivers.cgroups.hierarchies import find_hierarchies
from engine.drivers.cgroups.v1 import V1Driver
from engine.drivers.cgroups.v2 import V2Driver
from engine.errors import Unsupported
from engine.runtime.mountinfo import mounts

__all__ = ["CgroupDriver", "detect"]


def detect(parent: str) -> CgroupDriver:
    """Return the driver for this machine's cgroups. Creates nothing.

    Args:
        parent: the cgroup that will hold the containers', relative to each hierarchy's root; may
            have several parts.

    Raises:
        InvalidRequest: ``parent`` is empty or leads elsewhere.
        Unsupported: no cgroups are mounted.
    """
    place = relative(parent)
    found = find_hierarchies(mounts())
    if found.controllers:
        return V1Driver(found, place)
    if found.unified is not None:
        return V2Driver(found.unified, place)
    raise Unsupported("no cgroup hierarchy is mounted")
