"""What a container uses, as numbers. Both versions fill the same form; what a version can't tell is 0."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """One look at the counters.

    CPU times and ``throttled_*`` only grow. ``memory_limit_bytes`` and ``pids_limit`` None mean no limit. ``memory_detail`` has the lines of
    ``memory.stat`` under the kernel's names, which differ between the versions, as they do in Docker's answers.
    ``io_bytes`` and ``io_operations`` count by (major, minor, ``read`` or ``write``).
    """

    cpu_ns: int = 0
    cpu_user_ns: int = 0
    cpu_system_ns: int = 0
    cpu_per_core_ns: tuple[int, ...] = ()
    periods: int = 0
    throttled_periods: int = 0
    throttled_ns: int = 0
    memory_bytes: int = 0
    memory_max_bytes: int = 0
    memory_limit_bytes: int | None = None
    memory_failures: int = 0
    memory_detail: Mapping[str, int] = field(default_factory=dict)
    pids: int = 0
    pids_limit: int | None = None
    io_bytes: Mapping[tuple[int, int, str], int] = field(default_factory=dict)
    io_operations: Mapping[tuple[int, int, str], int] = field(default_factory=dict)
