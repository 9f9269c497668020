"""Refuse limits that make no sense, and discard limits that this machine can't keep, with a
warning.

Messages and their order are Docker's, because people search for them.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from engine.domain.container.resources import (
    NANOS,
    UNLIMITED,
    BlockLimits,
    Machine,
    Resources,
    parse_list,
)
from engine.errors import InvalidRequest

MEMORY_BYTES_MIN: Final = 6 << 20
_CPU_PERIOD_US: Final = range(1_000, 1_000_001)
_CPU_QUOTA_US_MIN: Final = 1_000
_CPU_SHARES: Final = (2, 262144)
_SWAPPINESS: Final = range(101)
_BLKIO_WEIGHT: Final = range(10, 1001)
_DEVICE_NUMBER_MAX: Final = 2**32 - 1


def accepted(
    asked: Resources, machine: Machine, *, is_update: bool = False
) -> tuple[Resources, tuple[str, ...]]:
    """Return the limits that this machine can set, and Docker's warnings about the others.

    Args:
        asked: the limits.
        machine: what they are measured against.
        is_update: they change some of a container's limits: what is not among them may be there
            already.

    Raises:
        InvalidRequest: with Docker's words.
    """
    kept, warnings = _discard(asked, machine)
    _check_memory(kept, is_update=is_update)
    _check_cpu(kept, machine)
    _check_list("cpuset cpus", "CPUs", kept.cpuset_cpus, machine.cpus)
    _check_list("cpuset mems", "memory nodes", kept.cpuset_mems, machine.memory_nodes)
    _check_block(kept)
    _check_devices(kept)
    return kept, warnings


# --- What this machine can't do ---

_NOT_MOUNTED: Final = "or the cgroup is not mounted."
_Lack = tuple[Callable[[Resources, Machine], bool], dict[str, Any], str]
"""Returns what is left of a request that this machine can't keep whole, and the warning."""

_LACKS: Final[tuple[_Lack, ...]] = (
    (
        lambda asked, machine: asked.memory_bytes > 0 and not machine.memory_limit,
        {"memory_bytes": 0, "memory_swap_bytes": UNLIMITED},
        f"Your kernel does not support memory limit capabilities {_NOT_MOUNTED} Limitation discarded.",
    ),
    (
        lambda asked, machine: (
            asked.memory_bytes > 0
            and asked.memory_swap_bytes != UNLIMITED
            and not machine.swap_limit
        ),
        {"memory_swap_bytes": UNLIMITED},
        f"Your kernel does not support swap limit capabilities {_NOT_MOUNTED} Memory limited without swap.",
    ),
    (
        lambda asked, machine: (
            asked.memory_swappiness is not None and not machine.memory_swappiness
        ),
        {"memory_swappiness": None},
        f"Your kernel does not support memory swappiness capabilities {_NOT_MOUNTED} Memory swappiness discarded.",
    ),
    (
        lambda asked, machine: (
            asked.memory_reservation_bytes > 0 and not machine.memory_reservation
        ),
        {"memory_reservation_bytes": 0},
        f"Your kernel does not support memory soft limit capabilities {_NOT_MOUNTED} Limitation discarded.",
    ),
    (
        lambda asked, machine: asked.oom_kill_disable and not machine.oom_kill_disable,
        {"oom_kill_disable": False},
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    ),
    (
        lambda asked, machine: (asked.pids_max or 0) > 0 and not machine.pids_limit,
        {"pids_max": None},
        f"Your kernel does not support PIDs limit capabilities {_NOT_MOUNTED} PIDs limit discarded.",
    ),
    (
        lambda asked, machine: asked.cpu_shares > 0 and not machine.cpu_shares,
        {"cpu_shares": 0},
        f"Your kernel does not support CPU shares {_NOT_MOUNTED} Shares discarded.",
    ),
    (
        lambda asked, machine: (
            bool(asked.cpu_period_us or asked.cpu_quota_us) and not machine.cpu_quota
        ),
        {"cpu_period_us": 0, "cpu_quota_us": 0},
        "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
    ),
    (
        lambda asked, machine: bool(asked.cpuset_cpus or asked.cpuset_mems) and not machine.cpuset,
        {"cpuset_cpus": "", "cpuset_mems": ""},
        f"Your kernel does not support cpuset {_NOT_MOUNTED} Cpuset discarded.",
    ),
    (
        lambda asked, machine: asked.blkio_weight > 0 and not machine.block_weight,
        {"blkio_weight": 0},
        f"Your kernel does not support Block I/O weight {_NOT_MOUNTED} Weight discarded.",
    ),
)
_BLOCK_LACKS: Final = (
    ("read_bytes", "BPS Block I/O read limit", "Block I/O BPS read limit"),
    ("write_bytes", "BPS Block I/O write limit", "Block I/O BPS write limit"),
    ("read_operations", "IOPS Block read limit", "Block I/O IOPS read limit"),
    ("write_operations", "IOPS Block write limit", "Block I/O IOPS write limit"),
)


def _discard(asked: Resources, machine: Machine) -> tuple[Resources, tuple[str, ...]]:
    warnings = []
    for is_missing, remains, warning in _LACKS:
        if is_missing(asked, machine):
            asked = replace(asked, **remains)
            warnings.append(warning)
    block, more = _discard_block(asked.block, machine)
    if asked.oom_kill_disable and not asked.memory_bytes:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        )
    return replace(asked, block=block), (*warnings, *more)


def _discard_block(asked: BlockLimits, machine: Machine) -> tuple[BlockLimits, tuple[str, ...]]:
    warnings = []
    if asked.weights and not machine.block_weight:
        asked = replace(asked, weights=())
        warnings.append(
            f"Your kernel does not support Block I/O weight_device {_NOT_MOUNTED} Weight-device discarded."
        )
    for field, ability, limit in _BLOCK_LACKS:
        if getattr(asked, field) and not machine.block_rates:
            asked = replace(asked, **{field: ()})
            warnings.append(
                f"Your kernel does not support {ability} {_NOT_MOUNTED} {limit} discarded."
            )
    return asked, tuple(warnings)


# --- What makes no sense ---


def _check_memory(asked: Resources, *, is_update: bool) -> None:
    if asked.memory_bytes and asked.memory_bytes < MEMORY_BYTES_MIN:
        raise InvalidRequest("Minimum memory limit allowed is 6MB")
    if asked.memory_bytes > 0 and 0 < asked.memory_swap_bytes < asked.memory_bytes:
        raise InvalidRequest(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if asked.memory_bytes == 0 and asked.memory_swap_bytes > 0 and not is_update:
        raise InvalidRequest(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    swappiness = asked.memory_swappiness
    if swappiness is not None and swappiness not in _SWAPPINESS:
        raise InvalidRequest(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if 0 < asked.memory_reservation_bytes < MEMORY_BYTES_MIN:
        raise InvalidRequest("Minimum memory reservation allowed is 6MB")

    if 0 < asked.memory_bytes < asked.memory_reservation_bytes:
        raise InvalidRequest(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _check_cpu(asked: Resources, machine: Machine) -> None:
    lowest, highest = _CPU_SHARES
    if asked.cpu_shares < 0:
        raise InvalidRequest("shares: invalid argument")
    if 0 < asked.cpu_shares < lowest:
        raise InvalidRequest(f"the minimum allowed cpu-shares is {lowest}")
    if asked.cpu_shares > highest:
        raise InvalidRequest(f"the maximum allowed cpu-shares is {highest}")
    for name, other in (("Period", asked.cpu_period_us), ("Quota", asked.cpu_quota_us)):
        if asked.nano_cpus and other:
            raise InvalidRequest(
                f"Conflicting options: Nano CPUs and CPU {name} cannot both be set"
            )
    count = len(parse_list(machine.cpus))
    if not 0 <= asked.nano_cpus <= count * NANOS:
        raise InvalidRequest(
            f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
        )
    if asked.nano_cpus and not machine.cpu_quota:
        raise InvalidRequest(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted"
        )
    if asked.cpu_period_us and asked.cpu_period_us not in _CPU_PERIOD_US:
        raise InvalidRequest(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < asked.cpu_quota_us < _CPU_QUOTA_US_MIN:
        raise InvalidRequest("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    _check_realtime(asked, machine)


def _check_realtime(asked: Resources, machine: Machine) -> None:
    period_us, runtime_us = asked.cpu_realtime_period_us, asked.cpu_realtime_runtime_us
    if (period_us or runtime_us) and not machine.cpu_realtime:
        raise InvalidRequest("Your kernel does not support CPU real-time scheduler")
    if period_us and runtime_us > period_us:
        raise InvalidRequest("cpu real-time runtime cannot be higher than cpu real-time period")
    if period_us < 0 or runtime_us < 0:
        raise InvalidRequest("cpu real-time period and runtime cannot be negative")


def _check_list(option: str, things: str, asked: str, available: str) -> None:
    try:
        requested = parse_list(asked)
    except ValueError as error:
        raise InvalidRequest(
            f"Invalid value {asked} for {option}: invalid format: {asked}"
        ) from error
    if not requested <= parse_list(available):
        raise InvalidRequest(
            f"Requested {things} are not available - requested {asked}, available: {available}"
        )


def _check_block(asked: Resources) -> None:
    if asked.blkio_weight and asked.blkio_weight not in _BLKIO_WEIGHT:
        raise InvalidRequest("Range of blkio weight is from 10 to 1000")
    for weight in asked.block.weights:
        if weight.value not in _BLKIO_WEIGHT:
            raise InvalidRequest(f"invalid blkio weight {weight.value} for device {weight.path}")


def _check_devices(asked: Resources) -> None:
    accesses = [rule.access for rule in asked.device_rules]
    accesses += [device.access for device in asked.devices]
    for access in accesses:
        if not access or len(set(access)) != len(access) or not set(access) <= set("rwm"):
            raise InvalidRequest(f"invalid device access mode: {access!r}")
    for rule in asked.device_rules:
        if any(number > _DEVICE_NUMBER_MAX for number in (rule.major or 0, rule.minor or 0)):
            raise InvalidRequest(
                f"invalid device cgroup rule: number of {rule.kind} device out of range"
            )
