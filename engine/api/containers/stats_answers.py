"""Define the answer of stats: fields and types."""

from typing import NotRequired, TypedDict

from engine.api.answers import Stamp


class PidsStats(TypedDict, total=False):
    """How many processes there are."""

    current: int
    limit: int


class BlkioEntry(TypedDict):
    """One counter of one block device."""

    major: int
    minor: int
    op: str
    value: int


class BlkioStats(TypedDict):
    """What was read and written; counters that the kernel does not have are null."""

    io_service_bytes_recursive: list[BlkioEntry] | None
    io_serviced_recursive: list[BlkioEntry] | None
    io_queue_recursive: list[BlkioEntry] | None
    io_service_time_recursive: list[BlkioEntry] | None
    io_wait_time_recursive: list[BlkioEntry] | None
    io_merged_recursive: list[BlkioEntry] | None
    io_time_recursive: list[BlkioEntry] | None
    sectors_recursive: list[BlkioEntry] | None


class CpuUsage(TypedDict):
    """Time of processors in nanoseconds."""

    total_usage: int
    percpu_usage: NotRequired[list[int]]
    usage_in_kernelmode: int
    usage_in_usermode: int


class Throttling(TypedDict):
    """How often, and for how many nanoseconds, a quota was used up."""

    periods: int
    throttled_periods: int
    throttled_time: int


class CpuStats(TypedDict):
    """Time of processors, the container's and the machine's."""

    cpu_usage: CpuUsage
    system_cpu_usage: NotRequired[int]
    online_cpus: NotRequired[int]
    throttling_data: Throttling


class MemoryStats(TypedDict, total=False):
    """Memory in bytes; the keys of ``stats`` differ between versions of cgroups."""

    usage: int
    max_usage: int
    stats: dict[str, int]
    failcnt: int
    limit: int


class InterfaceStats(TypedDict):
    """What went through one network interface."""

    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


class StorageStats(TypedDict):
    """Nothing on Linux."""


class ContainerStats(TypedDict):
    """One reading of what a container uses, and the one before."""

    name: str
    id: str
    read: Stamp
    preread: Stamp
    pids_stats: PidsStats
    blkio_stats: BlkioStats
    num_procs: int
    storage_stats: StorageStats
    cpu_stats: CpuStats
    precpu_stats: CpuStats
    memory_stats: MemoryStats
    networks: NotRequired[dict[str, InterfaceStats]]
