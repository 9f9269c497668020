"""Read the counters of version 2: cgroup-v2.rst."""

from pathlib import Path

from engine.drivers.cgroups import files
from engine.ports.usage import Counters

_NANOS_IN_MICRO = 1000


def read_stats(directory: Path) -> Counters:
    """Return all counters from a container's directory."""
    cpu = files.parse_flat(files.read_or(directory / "cpu.stat", ""))
    events = files.parse_flat(files.read_or(directory / "memory.events", ""))
    io = dict(files.parse_nested(files.read_or(directory / "io.stat", "")))
    return Counters(
        version=2,
        cpu_ns=cpu.get("usage_usec", 0) * _NANOS_IN_MICRO,
        cpu_user_ns=cpu.get("user_usec", 0) * _NANOS_IN_MICRO,
        cpu_system_ns=cpu.get("system_usec", 0) * _NANOS_IN_MICRO,
        periods=cpu.get("nr_periods", 0),
        throttled_periods=cpu.get("nr_throttled", 0),
        throttled_ns=cpu.get("throttled_usec", 0) * _NANOS_IN_MICRO,
        memory_bytes=_number(directory / "memory.current") or 0,
        memory_max_bytes=_number(directory / "memory.peak") or 0,
        memory_limit_bytes=_number(directory / "memory.max"),
        memory_failures=events.get("max", 0),
        memory_detail=files.parse_flat(files.read_or(directory / "memory.stat", "")),
        pids=_number(directory / "pids.current") or 0,
        pids_max=_number(directory / "pids.max"),
        io_bytes=_by_direction(io, "rbytes", "wbytes"),
        io_operations=_by_direction(io, "rios", "wios"),
    )


def _number(path: Path) -> int | None:
    """Return a file's number; None for ``max`` or a missing file."""
    text = files.read_or(path, "")
    return int(text) if text.isdigit() else None


def _by_direction(
    io: dict[str, dict[str, int]], read: str, written: str
) -> dict[tuple[int, int, str], int]:
    found = {}
    for device, counters in io.items():
        major, _, minor = device.partition(":")
        for name, direction in ((read, "read"), (written, "write")):
            if name in counters:
                found[int(major), int(minor), direction] = counters[name]
    return found
