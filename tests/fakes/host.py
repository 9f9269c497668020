"""Implement the port for the host without a machine."""

from collections.abc import Collection

import trio

from engine.drivers.host.ps import checked_words
from engine.ports.host import HostFacts, ProcessTable


class SimulatedHost:
    """A machine whose facts never change, and that has every process that it is asked about."""

    def __init__(self, missing: Collection[str] = ()) -> None:
        """``missing`` are paths at which there is nothing; at all others there is something."""
        self._missing = missing

    def name(self) -> str:
        return "machine"

    async def facts(self) -> HostFacts:
        await trio.lowlevel.checkpoint()
        return HostFacts(
            name="machine",
            kernel_release="6.1.0",
            architecture="x86_64",
            operating_system="Debian GNU/Linux 12 (bookworm)",
            operating_system_version="12",
            backing_filesystem="extfs",
            forwards_ipv4=True,
            memory_bytes=8 << 30,
            open_descriptors=20,
        )

    async def path_exists(self, path: str) -> bool:
        await trio.lowlevel.checkpoint()
        return path not in self._missing

    async def processes(self, ps_arguments: str, pids: Collection[int]) -> ProcessTable:
        await trio.lowlevel.checkpoint()
        checked_words(ps_arguments)
        return ProcessTable(("PID",), tuple((str(pid),) for pid in sorted(pids)))
