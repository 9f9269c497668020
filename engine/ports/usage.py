"""Declare the port for resource usage, which is read only when it is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from engine.domain.container.state import Container


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """One reading of a container's cgroups, in the same form for both versions. What a version
    can't tell is 0 or empty.

    CPU times and ``throttled_*`` only grow. ``memory_limit_bytes`` and ``pids_max`` None mean no
    limit. ``memory_detail`` has the lines of ``memory.stat`` under the kernel's names, which differ
    between the versions, as they do in Docker's answers. ``io_bytes`` and ``io_operations`` count
    by (major, minor, what: in the kernel's words).
    """

    version: int
    """Of cgroups: 1 or 2."""
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
    pids_max: int | None = None
    io_bytes: Mapping[tuple[int, int, str], int] = field(default_factory=dict)
    io_operations: Mapping[tuple[int, int, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """The traffic of a network interface, seen from the container."""

    received_bytes: int
    received_packets: int
    received_errors: int
    received_dropped: int
    sent_bytes: int
    sent_packets: int
    sent_errors: int
    sent_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The counters of a container and of its machine at one moment."""

    at_ns: int
    """Wall clock."""
    counters: Counters
    interfaces: Mapping[str, Interface]
    """By name; without the loopback and the host's own."""
    machine_cpu_ns: int
    """The time that all CPUs together have spent, busy or idle."""
    cpus_online: int
    machine_memory_bytes: int


class Usage(Protocol):
    """Reads counters."""

    async def sample(self, container: Container) -> Sample | None:
        """Read the counters of a container; return None if nothing runs in it any more."""
        ...
