"""What a container may use of the machine: Docker's resource limits, and which of them make no sense.

Zero means "not set" as in Docker's API, unless said otherwise. Messages are Docker's, because people search for them.
"""

import re
from typing import Final, Literal

import msgspec

from engine.errors import InvalidRequest

MEMORY_BYTES_MIN: Final = 6 << 20
UNLIMITED: Final = -1

CPU_PERIOD_US_DEFAULT: Final = 100_000
"""The kernel's own (Documentation/scheduler/sched-bwc.rst)."""
_CPU_PERIOD_US: Final = range(1_000, 1_000_001)
_CPU_QUOTA_US_MIN: Final = 1_000
_NANOS: Final = 1_000_000_000
_SWAPPINESS: Final = range(101)
_BLKIO_WEIGHT: Final = range(10, 1001)
_LIST_ITEM: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_ACCESS: Final = re.compile(r"r?w?m?")


class DeviceRule(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a kind of device node may be used, and for what.

    ``major`` and ``minor`` None mean any; ``access`` is of ``r`` (read), ``w`` (write), ``m`` (mknod); ``kind`` ``a`` means all
    devices whatever the numbers (Documentation/admin-guide/cgroup-v1/devices.rst).
    """

    kind: Literal["a", "b", "c"]
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"
    allow: bool = True


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What limits are measured against; lists as the kernel writes them (``0-3,8``)."""

    cpus: str
    memory_nodes: str = "0"
    swap_limit: bool = True
    oom_kill_disable: bool = True


class Resources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits of one container.

    ``memory_swap_bytes`` is memory *and* swap together, as Docker means it: -1 is no limit, and 0 is twice the memory.
    ``nano_cpus`` is CPUs times 10⁹ and excludes quota and period. ``pids_max`` None, 0 or -1 is no limit.
    ``memory_swappiness`` None is the machine's.
    """

    memory_bytes: int = 0
    memory_swap_bytes: int = 0
    memory_reservation_bytes: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    cpu_shares: int = 0
    nano_cpus: int = 0
    cpu_quota_us: int = 0
    cpu_period_us: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_max: int | None = None
    blkio_weight: int = 0
    device_rules: tuple[DeviceRule, ...] = ()
    """Beyond what every container may use; a later rule overrides."""

    @property
    def quota_us(self) -> int:
        """CPU time per period, however it was asked for; 0 or less is no limit."""
        return self.nano_cpus * self.period_us // _NANOS if self.nano_cpus else self.cpu_quota_us

    @property
    def period_us(self) -> int:
        """What the quota is of."""
        return self.cpu_period_us or CPU_PERIOD_US_DEFAULT

    @property
    def memory_and_swap_bytes(self) -> int:
        """The limit of both together once Docker's defaults are resolved: -1 is no limit, 0 nothing to set."""
        return self.memory_swap_bytes or 2 * self.memory_bytes

    def validate(self, machine: Machine) -> tuple[str, ...]:
        """Refuse what Docker refuses.

        Returns:
            Docker's warnings about what this machine can't do; such wishes are ignored when they are applied.

        Raises:
            InvalidRequest: with Docker's words.
        """
        _validate_memory(self)
        _validate_cpu(self, machine)
        _validate_list("cpuset cpus", "CPUs", self.cpuset_cpus, machine.cpus)
        _validate_list("cpuset mems", "memory nodes", self.cpuset_mems, machine.memory_nodes)
        if self.blkio_weight and self.blkio_weight not in _BLKIO_WEIGHT:
            raise InvalidRequest("Range of blkio weight is from 10 to 1000")
        for rule in self.device_rules:
            if not rule.access or not _ACCESS.fullmatch(rule.access):
                raise InvalidRequest(f"invalid device access mode: {rule.access!r}")
        return _warnings(self, machine)


def _validate_memory(asked: Resources) -> None:
    if 0 < asked.memory_bytes < MEMORY_BYTES_MIN:
        raise InvalidRequest("Minimum memory limit allowed is 6MB")
    if asked.memory_bytes > 0 and 0 < asked.memory_swap_bytes < asked.memory_bytes:
        raise InvalidRequest(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if asked.memory_bytes == 0 and asked.memory_swap_bytes > 0:
        raise InvalidRequest(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    swappiness = asked.memory_swappiness
    if swappiness is not None and swappiness != UNLIMITED and swappiness not in _SWAPPINESS:
        raise InvalidRequest(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if 0 < asked.memory_reservation_bytes < MEMORY_BYTES_MIN:
        raise InvalidRequest("Minimum memory reservation allowed is 6MB")
    if 0 < asked.memory_bytes < asked.memory_reservation_bytes:
        raise InvalidRequest(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _validate_cpu(asked: Resources, machine: Machine) -> None:
    if asked.cpu_shares < 0:
        raise InvalidRequest("shares: invalid argument")
    if asked.nano_cpus and asked.cpu_period_us:
        raise InvalidRequest("Conflicting options: Nano CPUs and CPU Period cannot both be set.")
    if asked.nano_cpus and asked.cpu_quota_us:
        raise InvalidRequest("Conflicting options: Nano CPUs and CPU Quota cannot both be set.")
    count = len(parse_list(machine.cpus))
    if not 0 <= asked.nano_cpus <= count * _NANOS:
        raise InvalidRequest(
            f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
        )
    if asked.cpu_period_us and asked.cpu_period_us not in _CPU_PERIOD_US:
        raise InvalidRequest(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < asked.cpu_quota_us < _CPU_QUOTA_US_MIN:
        raise InvalidRequest("CPU cfs quota can not be less than 1ms (i.e. 1000)")


def _validate_list(option: str, things: str, asked: str, available: str) -> None:
    try:
        wanted = parse_list(asked)
    except ValueError as error:
        raise InvalidRequest(
            f"Invalid value {asked} for {option}: invalid format: {asked}"
        ) from error
    if not wanted <= parse_list(available):
        raise InvalidRequest(
            f"Requested {things} are not available - requested {asked}, available: {available}"
        )


def _warnings(asked: Resources, machine: Machine) -> tuple[str, ...]:
    found = []
    if asked.memory_bytes > 0 and not machine.swap_limit:
        found.append(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
            "Memory limited without swap."
        )
    if asked.oom_kill_disable and not machine.oom_kill_disable:
        found.append("Your kernel does not support OomKillDisable. OomKillDisable discarded.")
    elif asked.oom_kill_disable and not asked.memory_bytes:
        found.append(
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        )
    return tuple(found)


def parse_list(text: str) -> frozenset[int]:
    """The numbers in a list such as ``0-3,8``: "List format" of cpuset(7).

    Raises:
        ValueError: it is not such a list.
    """
    numbers: set[int] = set()
    for item in text.split(",") if text else ():
        match = _LIST_ITEM.fullmatch(item.strip())
        if match is None:
            raise ValueError(f"not a list of numbers: {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"not a range: {item!r}")
        numbers.update(range(first, last + 1))
    return frozenset(numbers)
