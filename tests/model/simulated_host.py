"""Answer the port for the host, without a machine."""

from collections.abc import Collection

import trio

from engine.ports.host import HostFacts, ProcessTable


class SimulatedHost:
    """A machine whose facts never change."""

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
        return True

    async def processes(self, ps_arguments: str, pids: Collection[int]) -> ProcessTable:
        await trio.lowlevel.checkpoint()
        return ProcessTable(("PID",), tuple((str(pid),) for pid in pids))
