"""Find the cgroup hierarchies among the mounts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.runtime.mountinfo import MountEntry

V1_CONTROLLERS: Final = frozenset(
    {"blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory"}
    | {"misc", "net_cls", "net_prio", "perf_event", "pids", "rdma"}
)
_NAMED: Final = "name="


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Mount points; ``controllers`` of version 1 by controller (``name=systemd`` for a named one),
    ``unified`` of version 2.
    """

    controllers: Mapping[str, Path]
    unified: Path | None


def find_hierarchies(mounts: Iterable[MountEntry]) -> Hierarchies:
    """Return the first mount of each hierarchy, which is the one that the init system made."""
    controllers: dict[str, Path] = {}
    unified: Path | None = None
    for mount in mounts:
        place = Path(mount.place)
        if mount.filesystem == "cgroup2":
            unified = unified or place
        elif mount.filesystem == "cgroup":
            for option in mount.super_options:
                if option in V1_CONTROLLERS or option.startswith(_NAMED):
                    controllers.setdefault(option, place)
    return Hierarchies(controllers, unified)
