"""Answer the port for resource usage, from cgroups and /proc."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import time_ns
from typing import Final

from engine.domain.container.namespace_sharing import HOST
from engine.domain.container.state import Container
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.lanes import Lane, Lanes
from engine.drivers.processes.identity import process_alive
from engine.ports.usage import Interface, Sample

_LOOPBACK: Final = "lo"
_CPU_FIELDS: Final = slice(1, 8)
"""user, nice, system, idle, iowait, irq, softirq of /proc/stat; guest time is already part of user.
proc_stat(5).
"""
_STAT_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class LinuxUsage:
    """The port for resource usage: reads counters of the machine's own kernel."""

    cgroups: Cgroups
    lanes: Lanes

    async def sample(self, container: Container) -> Sample | None:
        """Read the counters of a container; None when nothing runs in it any more."""
        return await self.lanes.run(Lane.OBSERVE, partial(self._sample, container))

    def _sample(self, container: Container) -> Sample | None:
        process = container.process
        if process is None:
            return None
        at_ns = time_ns()
        counters = self.cgroups.of(container).stats(container.id)
        machine_cpu_ns, cpus_online = machine_cpu()
        is_hosts = container.spec.network_mode == HOST
        found = {} if is_hosts else interfaces(process.pid)
        if not process_alive(process):  # otherwise the pid may belong to another process by now
            return None
        return Sample(
            at_ns=at_ns,
            counters=counters,
            interfaces=found,
            machine_cpu_ns=machine_cpu_ns,
            cpus_online=cpus_online,
            machine_memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        )


def machine_cpu() -> tuple[int, int]:
    """Return the time that all CPUs have spent, in nanoseconds, and how many are online:
    /proc/stat, proc_stat(5).
    """
    fd = os.open("/proc/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(fd, _STAT_BYTES)  # the lines of CPUs come first; the rest may be long
    finally:
        os.close(fd)
    total, *others = text.splitlines()
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    spent_ns = sum(map(int, total.split()[_CPU_FIELDS])) * tick_ns
    return spent_ns, sum(1 for line in others if line.startswith(b"cpu"))


def interfaces(pid: int) -> Mapping[str, Interface]:
    """Return the interfaces in a process's network namespace, without entering it:
    /proc/PID/net/dev, proc_pid_net(5).
    """
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    except OSError:  # the process has ended: ENOENT, ESRCH, EINVAL
        return {}
    rows = (line.partition(":") for line in lines)
    return {
        name.strip(): _interface([int(number) for number in numbers.split()])
        for name, _, numbers in rows
        if name.strip() != _LOOPBACK
    }


def _interface(counts: list[int]) -> Interface:
    return Interface(
        received_bytes=counts[0],
        received_packets=counts[1],
        received_errors=counts[2],
        received_dropped=counts[3],
        sent_bytes=counts[8],
        sent_packets=counts[9],
        sent_errors=counts[10],
        sent_dropped=counts[11],
    )
