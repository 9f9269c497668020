"""Define resource limits as plain values.

Zero means "not set" as in Docker's API, unless said otherwise. What makes no sense is refused in
``resource_rules.py``.
"""

import re
from typing import Final, Literal

import msgspec

UNLIMITED: Final = -1

CPU_PERIOD_US_DEFAULT: Final = 100_000
"""The kernel's own (Documentation/scheduler/sched-bwc.rst)."""
NANOS: Final = 1_000_000_000
_LIST_ITEM: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


class DeviceRule(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a kind of device node may be used, and how.

    ``major`` and ``minor`` None mean any; ``access`` is of ``r`` (read), ``w`` (write), ``m``
    (mknod); ``kind`` ``a`` means all devices whatever the numbers
    (Documentation/admin-guide/cgroup-v1/devices.rst).
    """

    kind: Literal["a", "b", "c"]
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"
    allow: bool = True


class DeviceMapping(msgspec.Struct, frozen=True, kw_only=True):
    """A device node of the host, or a directory of them, at a path of the container."""

    source: str
    destination: str
    access: str = "rwm"


class DeviceRate(msgspec.Struct, frozen=True, kw_only=True):
    """A number for one block device, which is named by its node's path: a weight, or a rate per
    second.
    """

    path: str
    value: int


class BlockLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits of single block devices. A rate of 0 is no limit."""

    weights: tuple[DeviceRate, ...] = ()
    read_bytes: tuple[DeviceRate, ...] = ()
    write_bytes: tuple[DeviceRate, ...] = ()
    read_operations: tuple[DeviceRate, ...] = ()
    write_operations: tuple[DeviceRate, ...] = ()


class DeviceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Devices that a driver is to choose (``--gpus``); this engine has no such driver."""

    driver: str = ""
    count: int = 0
    device_ids: tuple[str, ...] = ()
    capabilities: tuple[tuple[str, ...], ...] = ()
    options: dict[str, str] = {}


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What limits are checked against, and which of them this kernel knows. Lists are as the kernel
    writes them (``0-3,8``).
    """

    cpus: str
    memory_nodes: str = "0"
    memory_limit: bool = True
    swap_limit: bool = True
    memory_reservation: bool = True
    memory_swappiness: bool = True
    oom_kill_disable: bool = True
    kernel_memory_tcp: bool = False
    cpu_shares: bool = True
    cpu_quota: bool = True
    cpu_realtime: bool = True
    cpuset: bool = True
    pids_limit: bool = True
    block_weight: bool = True
    block_rates: bool = True


class Resources(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits of one container.

    ``memory_swap_bytes`` is memory *and* swap together, as Docker means it: -1 is no limit, and 0
    is twice the memory. ``nano_cpus`` is CPUs times 10⁹ and excludes quota and period. ``pids_max``
    None, 0 or -1 is no limit. ``memory_swappiness`` None is the machine's. ``cgroup_parent`` empty
    is the engine's own.
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
    cpu_realtime_period_us: int = 0
    cpu_realtime_runtime_us: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_max: int | None = None
    blkio_weight: int = 0
    block: BlockLimits = BlockLimits()
    cgroup_parent: str = ""
    device_rules: tuple[DeviceRule, ...] = ()
    """Beyond what every container may use; a later rule overrides."""
    devices: tuple[DeviceMapping, ...] = ()
    device_requests: tuple[DeviceRequest, ...] = ()

    @property
    def quota_us(self) -> int:
        """Return the CPU time per period, however it was asked for; 0 or less is no limit."""
        return self.nano_cpus * self.period_us // NANOS if self.nano_cpus else self.cpu_quota_us

    @property
    def period_us(self) -> int:
        """Return the period of the quota."""
        return self.cpu_period_us or CPU_PERIOD_US_DEFAULT

    @property
    def memory_and_swap_bytes(self) -> int:
        """Return the limit of both together, with Docker's defaults resolved: -1 is no limit, 0
        nothing to set.
        """
        return self.memory_swap_bytes or 2 * self.memory_bytes


def parse_list(text: str) -> frozenset[int]:
    """Return the numbers in a list such as ``0-3,8``: "List format" of cpuset(7).

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
