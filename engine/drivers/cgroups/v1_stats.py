"""Read the counters of version 1: Documentation/admin-guide/cgroup-v1/*.rst."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from engine.drivers.cgroups import files
from engine.ports.usage import Counters

_UNLIMITED_FROM: Final = 1 << 62
"""Without a limit, memory.limit_in_bytes is the highest number of whole pages."""


def read_stats(directories: Mapping[str, Path]) -> Counters:
    """Return all counters; ``directories`` are one container's, by controller."""
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")

    def text(controller: str, name: str) -> str:
        directory = directories.get(controller)
        return files.read_or(directory / f"{controller}.{name}", "") if directory else ""

    def number(controller: str, name: str) -> int:
        found = text(controller, name)
        return int(found) if found.isdigit() else 0

    cpu_split = files.parse_flat(text("cpuacct", "stat"))
    throttling = files.parse_flat(text("cpu", "stat"))
    memory_limit = number("memory", "limit_in_bytes")
    return Counters(
        version=1,
        cpu_ns=number("cpuacct", "usage"),
        cpu_user_ns=cpu_split.get("user", 0) * tick_ns,
        cpu_system_ns=cpu_split.get("system", 0) * tick_ns,
        cpu_per_core_ns=tuple(int(core) for core in text("cpuacct", "usage_percpu").split()),
        periods=throttling.get("nr_periods", 0),
        throttled_periods=throttling.get("nr_throttled", 0),
        throttled_ns=throttling.get("throttled_time", 0),
        memory_bytes=number("memory", "usage_in_bytes"),
        memory_max_bytes=number("memory", "max_usage_in_bytes"),
        memory_limit_bytes=memory_limit if 0 < memory_limit < _UNLIMITED_FROM else None,
        memory_failures=number("memory", "failcnt"),
        memory_detail=files.parse_flat(text("memory", "stat")),
        pids=number("pids", "current"),
        pids_max=number("pids", "max") or None,
        io_bytes=_blkio(text("blkio", "throttle.io_service_bytes_recursive")),
        io_operations=_blkio(text("blkio", "throttle.io_serviced_recursive")),
    )


def _blkio(text: str) -> dict[tuple[int, int, str], int]:
    """Parse lines such as ``8:0 Read 4096``; skip the sum over all devices, which names no
    device.
    """
    found = {}
    for line in text.splitlines():
        device, *rest = line.split()
        if len(rest) == 2:
            major, _, minor = device.partition(":")
            found[int(major), int(minor), rest[0]] = int(rest[1])
    return found
