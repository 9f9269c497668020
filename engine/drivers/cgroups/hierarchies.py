"""Which cgroup hierarchies there are, and where: from /proc/self/mountinfo, proc_pid_mountinfo(5)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOUNTINFO: Final = Path("/proc/self/mountinfo")

V1_CONTROLLERS: Final = frozenset(
    {"blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory"}
    | {"misc", "net_cls", "net_prio", "perf_event", "pids", "rdma"}
)
_NAMED: Final = "name="
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Mount points; ``controllers`` of version 1 by controller (``name=systemd`` for a named one), ``unified`` of version 2."""

    controllers: Mapping[str, Path]
    unified: Path | None


def find_hierarchies(mountinfo: str) -> Hierarchies:
    """The first mount of each hierarchy, which is the one that init made."""
    controllers: dict[str, Path] = {}
    unified: Path | None = None
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        place = Path(_unescaped(fields.split(" ")[4]))
        if kind == "cgroup2":
            unified = unified or place
        elif kind == "cgroup":
            for option in options.split(","):
                if option in V1_CONTROLLERS or option.startswith(_NAMED):
                    controllers.setdefault(option, place)
    return Hierarchies(controllers, unified)


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
