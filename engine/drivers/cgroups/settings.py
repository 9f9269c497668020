"""Convert limits to the contents of control files. Pure.

Version 1: Documentation/admin-guide/cgroup-v1/ and Documentation/scheduler/sched-bwc.rst; version
2: cgroup-v2.rst. Memory and swap are set elsewhere (v1.py, v2.py), because their order matters.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.domain.container.resources import CPU_PERIOD_US_DEFAULT, UNLIMITED, Resources

INHERITED: Final = "\0inherited"
"""Stands for the value of the parent cgroup."""
_SHARES: Final = (2, 262144)
_WEIGHT: Final = (1, 10000)


@dataclass(frozen=True, slots=True)
class Setting:
    """One write into a control file: into the first of ``files`` that exists. ``is_optional`` means
    that none need exist.
    """

    controller: str
    files: tuple[str, ...]
    value: str
    is_optional: bool = False


def v1_settings(limits: Resources, *, whole: bool) -> Iterator[Setting]:
    """Yield the writes of version 1, in order.

    Args:
        limits: the limits to set.
        whole: also write the kernel's defaults for what is not limited, so that earlier limits
            are reset.
    """

    def setting(controller: str, name: str, given: str, default: str) -> Iterator[Setting]:
        if given or whole:
            yield Setting(controller, (f"{controller}.{name}",), given or default)

    swappiness = limits.memory_swappiness
    yield from setting(
        "memory", "soft_limit_in_bytes", _given(limits.memory_reservation_bytes), "-1"
    )
    yield from setting(
        "memory", "swappiness", "" if swappiness is None else str(swappiness), INHERITED
    )
    yield from setting("memory", "oom_control", "1" if limits.oom_kill_disable else "", "0")
    yield from setting("cpu", "shares", _given(limits.cpu_shares), "1024")
    period = limits.cpu_period_us or limits.nano_cpus
    yield from setting(
        "cpu",
        "cfs_period_us",
        str(limits.period_us) if period else "",
        str(CPU_PERIOD_US_DEFAULT),
    )
    quota_us = limits.quota_us
    yield from setting("cpu", "cfs_quota_us", _given(max(quota_us, UNLIMITED)), "-1")
    if limits.cpu_realtime_period_us:
        yield Setting("cpu", ("cpu.rt_period_us",), str(limits.cpu_realtime_period_us))
    if limits.cpu_realtime_runtime_us:
        yield Setting("cpu", ("cpu.rt_runtime_us",), str(limits.cpu_realtime_runtime_us))
    yield from setting("cpuset", "cpus", limits.cpuset_cpus, INHERITED)
    yield from setting("cpuset", "mems", limits.cpuset_mems, INHERITED)
    yield from setting("pids", "max", _pids(limits), "max")
    if limits.blkio_weight or whole:
        names = ("blkio.weight", "blkio.bfq.weight")
        yield Setting("blkio", names, _given(limits.blkio_weight) or "100", is_optional=True)


def v2_settings(limits: Resources, *, whole: bool) -> Iterator[Setting]:
    """Yield the writes of version 2; see :func:`v1_settings`. The controller is the first part of
    the file's name.
    """

    def setting(name: str, given: str, default: str) -> Iterator[Setting]:
        if given or whole:
            yield Setting(name.partition(".")[0], (name,), given or default)

    reservation = limits.memory_reservation_bytes
    yield from setting("memory.low", "0" if reservation == UNLIMITED else _given(reservation), "0")
    yield from setting(
        "cpu.weight", str(weight(limits.cpu_shares)) if limits.cpu_shares else "", "100"
    )
    yield from setting("cpu.max", _cpu_max(limits), f"max {CPU_PERIOD_US_DEFAULT}")
    yield from setting("cpuset.cpus", limits.cpuset_cpus, "\n")
    yield from setting("cpuset.mems", limits.cpuset_mems, "\n")
    yield from setting("pids.max", _pids(limits), "max")
    if limits.blkio_weight or whole:
        yield from _io_weight(limits.blkio_weight)


def weight(shares: int) -> int:
    """Convert ``cpu.shares`` of version 1 (2 to 262144, usually 1024) to ``cpu.weight`` (1 to
    10000).

    The linear mapping that OCI runtimes have agreed upon: runtime-spec, config-linux.md, CPU.
    """
    low, high = _SHARES
    within = min(max(shares, low), high)
    return _WEIGHT[0] + (within - low) * (_WEIGHT[1] - _WEIGHT[0]) // (high - low)


def io_weight(blkio_weight: int) -> int:
    """Convert Docker's weight of 10 to 1000 to ``io.weight`` (1 to 10000): config-linux.md, Block
    IO.
    """
    return 1 + (blkio_weight - 10) * 9999 // 990


def _io_weight(wanted: int) -> Iterator[Setting]:
    """Yield the writes for BFQ's own weight, which has Docker's range, and for the cost model's."""
    if wanted:
        yield Setting("io", ("io.bfq.weight",), str(wanted), is_optional=True)
        yield Setting("io", ("io.weight",), str(io_weight(wanted)), is_optional=True)
    else:
        yield Setting("io", ("io.bfq.weight",), "100", is_optional=True)
        yield Setting("io", ("io.weight",), "100", is_optional=True)


def _cpu_max(limits: Resources) -> str:
    if not (limits.quota_us or limits.cpu_period_us):
        return ""
    quota = str(limits.quota_us) if limits.quota_us > 0 else "max"
    return f"{quota} {limits.period_us}"


def _given(number: int) -> str:
    return str(number) if number else ""


def _pids(limits: Resources) -> str:
    if limits.pids_max is None:
        return ""
    return str(limits.pids_max) if limits.pids_max > 0 else "max"
