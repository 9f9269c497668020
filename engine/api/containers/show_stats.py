"""Convert samples of resource usage to ContainerStatsResponse of API v1.51.

Where versions of cgroups differ so does Docker's answer: which keys ``memory_stats.stats`` has, and
whether there are counts of operations beside those of bytes.
"""

from collections.abc import Mapping
from typing import Final

from engine.api.containers.stats_answers import BlkioEntry, InterfaceStats
from engine.api.http.json_bodies import Json
from engine.api.times import stamp
from engine.ports.usage import Counters, Interface, Sample
from engine.queries.usage import Reading

NEVER: Final = "0001-01-01T00:00:00Z"
"""Go's zero time: where nothing was read."""

_V1_OWN: Final = (
    "cache", "rss", "rss_huge", "mapped_file", "dirty", "writeback", "pgpgin", "pgpgout", "pgfault",
    "pgmajfault", "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable",
)  # fmt: skip
_V1_KEYS: Final = (
    *_V1_OWN,
    "hierarchical_memory_limit",
    "hierarchical_memsw_limit",
    *(f"total_{name}" for name in _V1_OWN),
)
_V2_KEYS: Final = (
    "anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped", "file_dirty", "file_writeback",
    "anon_thp", "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable", "slab_reclaimable",
    "slab_unreclaimable", "pgfault", "pgmajfault", "workingset_refault", "workingset_activate",
    "workingset_nodereclaim", "pgrefill", "pgscan", "pgsteal", "pgactivate", "pgdeactivate", "pglazyfree",
    "pglazyfreed", "thp_fault_alloc", "thp_collapse_alloc",
)  # fmt: skip
_SPLIT: Final = ("workingset_refault", "workingset_activate")
"""Since Linux 5.9 the kernel counts these apart for anonymous memory and files; clients know the
sum."""
_V1_ONLY: Final = (
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)
"""Counters of a scheduler that Linux 5.0 has dropped: always empty since."""


def stats_json(reading: Reading) -> Json:
    """Return one reading. For a container that does not run, all values are zero."""
    sample, before, container = reading.sample, reading.before, reading.container
    stats: Json = {
        "name": f"/{container.name}",
        "id": container.id,
        "read": stamp(sample.at_ns) if sample else NEVER,
        "preread": stamp(before.at_ns) if before else NEVER,
        "pids_stats": _pids(sample.counters) if sample else {},
        "blkio_stats": _blkio(sample.counters if sample else None),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(sample),
        "precpu_stats": _cpu(before),
        "memory_stats": _memory(sample) if sample else {},
    }
    if sample and sample.interfaces:
        stats["networks"] = {name: _network(one) for name, one in sample.interfaces.items()}
    return stats


def _pids(counters: Counters) -> Json:
    limit = {"limit": counters.pids_max} if counters.pids_max else {}
    return {"current": counters.pids, **limit}


def _cpu(sample: Sample | None) -> Json:
    counters = sample.counters if sample else Counters(version=0)
    usage: Json = {"total_usage": counters.cpu_ns}
    if counters.cpu_per_core_ns:
        usage["percpu_usage"] = counters.cpu_per_core_ns
    usage["usage_in_kernelmode"] = counters.cpu_system_ns
    usage["usage_in_usermode"] = counters.cpu_user_ns
    machine: Json = {}
    if sample is not None:
        machine = {"system_cpu_usage": sample.machine_cpu_ns, "online_cpus": sample.cpus_online}
    throttling = {
        "periods": counters.periods,
        "throttled_periods": counters.throttled_periods,
        "throttled_time": counters.throttled_ns,
    }
    return {"cpu_usage": usage, **machine, "throttling_data": throttling}


def _memory(sample: Sample) -> Json:
    counters = sample.counters
    limit = min(
        counters.memory_limit_bytes or sample.machine_memory_bytes, sample.machine_memory_bytes
    )
    memory: Json = {"usage": counters.memory_bytes}
    if counters.version == 1:
        memory["max_usage"] = counters.memory_max_bytes
        memory["stats"] = _chosen(counters.memory_detail, _V1_KEYS)
        if counters.memory_failures:
            memory["failcnt"] = counters.memory_failures
    else:
        memory["stats"] = _chosen(counters.memory_detail, _V2_KEYS)
    return {**memory, "limit": limit}


def _chosen(detail: Mapping[str, int], keys: tuple[str, ...]) -> Json:
    return {name: _detail(detail, name) for name in sorted(keys)} if detail else {}


def _detail(detail: Mapping[str, int], name: str) -> int:
    if name in _SPLIT and name not in detail:
        return detail.get(f"{name}_anon", 0) + detail.get(f"{name}_file", 0)
    return detail.get(name, 0)


def _blkio(counters: Counters | None) -> Json:
    if counters is None:
        return dict.fromkeys(("io_service_bytes_recursive", "io_serviced_recursive", *_V1_ONLY))
    is_v1 = counters.version == 1
    return {
        "io_service_bytes_recursive": _entries(counters.io_bytes),
        "io_serviced_recursive": _entries(counters.io_operations) if is_v1 else None,
        **{name: [] if is_v1 else None for name in _V1_ONLY},
    }


def _entries(counts: Mapping[tuple[int, int, str], int]) -> list[BlkioEntry]:
    return [
        {"major": major, "minor": minor, "op": what, "value": value}
        for (major, minor, what), value in counts.items()
    ]


def _network(interface: Interface) -> InterfaceStats:
    return {
        "rx_bytes": interface.received_bytes,
        "rx_packets": interface.received_packets,
        "rx_errors": interface.received_errors,
        "rx_dropped": interface.received_dropped,
        "tx_bytes": interface.sent_bytes,
        "tx_packets": interface.sent_packets,
        "tx_errors": interface.sent_errors,
        "tx_dropped": interface.sent_dropped,
    }
