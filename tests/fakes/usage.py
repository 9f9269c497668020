"""Implement the port for resource usage on a simulated machine."""

from typing import Final

import trio

from engine.domain.container.state import Container
from engine.ports.usage import Counters, Interface, Sample
from tests.model.simulated_machine import Machine, Place

CPUS: Final = 2
_MEMORY_BYTES: Final = 8 << 30
_USED_BYTES: Final = 1 << 20
_IDLE_INTERFACE: Final = Interface(
    received_bytes=0,
    received_packets=0,
    received_errors=0,
    received_dropped=0,
    sent_bytes=0,
    sent_packets=0,
    sent_errors=0,
    sent_dropped=0,
)


class SimulatedUsage:
    """A container that runs uses a hundredth of a CPU and a mebibyte."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def sample(self, container: Container) -> Sample | None:
        await trio.lowlevel.checkpoint()
        place = self._machine.place(container.id)
        if place.process is None or place.process.identity != container.process:
            return None
        if not place.process.alive:
            return None
        names = (f"eth{number}" for number in range(len(place.interfaces)))
        return Sample(
            at_ns=self._machine.clock.wall_ns(),
            counters=self._counters(place),
            interfaces=dict.fromkeys(names, _IDLE_INTERFACE),
            machine_cpu_ns=CPUS * self._machine.clock.boot_ns(),
            cpus_online=CPUS,
            machine_memory_bytes=_MEMORY_BYTES,
        )

    def _counters(self, place: Place) -> Counters:
        return Counters(
            version=2,
            cpu_ns=self._machine.clock.boot_ns() // 100,
            memory_bytes=_USED_BYTES,
            memory_limit_bytes=_limit(place.limits.memory_bytes),
            pids=1 + len(place.execs),
            pids_max=_limit(place.limits.pids_max),
        )


def _limit(value: int | None) -> int | None:
    """Return a limit; none, zero, and any below it mean that there is none."""
    return value if value is not None and value > 0 else None
