"""Find which limits this machine's kernel supports, for ``docker info``."""

from collections.abc import Iterator

from engine.api.http.json_bodies import Json
from engine.domain.container.resources import Machine


def limits_json(machine: Machine) -> Json:
    """Return the part of SystemInfo that is about limits."""
    return {
        "MemoryLimit": machine.memory_limit,
        "SwapLimit": machine.swap_limit,
        "KernelMemoryTCP": machine.kernel_memory_tcp,
        "CpuCfsPeriod": machine.cpu_quota,
        "CpuCfsQuota": machine.cpu_quota,
        "CPUShares": machine.cpu_shares,
        "CPUSet": machine.cpuset,
        "PidsLimit": machine.pids_limit,
        "OomKillDisable": machine.oom_kill_disable,
    }


def warnings_json(machine: Machine, cgroup_version: str, *, forwards_ipv4: bool) -> list[str]:
    """Return warnings for people who rely on limits, in dockerd's words.

    Weights of block devices are missed on version 2 alone: version 1 has lost them with Linux 5.0,
    and nobody can bring them back.
    """
    return [f"WARNING: {lack}" for lack in _lacks(machine, cgroup_version, forwards_ipv4)]


def _lacks(machine: Machine, cgroup_version: str, forwards_ipv4: bool) -> Iterator[str]:
    is_v1 = cgroup_version == "1"
    for is_there, name in (
        (machine.memory_limit, "memory limit"),
        (machine.swap_limit, "swap limit"),
        (machine.kernel_memory_tcp or not is_v1, "kernel memory TCP limit"),
        (machine.oom_kill_disable or not is_v1, "oom kill disable"),
        (machine.cpu_quota, "cpu cfs quota"),
        (machine.cpu_quota, "cpu cfs period"),
        (machine.cpu_shares, "cpu shares"),
        (machine.cpuset, "cpuset"),
        (machine.block_weight or is_v1, "blkio weight"),
        (machine.block_weight or is_v1, "blkio weight_device"),
        (machine.block_rates, "blkio throttle.read_bps_device"),
        (machine.block_rates, "blkio throttle.write_bps_device"),
        (machine.block_rates, "blkio throttle.read_iops_device"),
        (machine.block_rates, "blkio throttle.write_iops_device"),
    ):
        if not is_there:
            yield f"No {name} support"
    if not forwards_ipv4:
        yield "IPv4 forwarding is disabled"
