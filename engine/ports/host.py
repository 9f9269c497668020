"""Declare the port for the host: facts about the machine, and its table of processes."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """The facts about the machine at one moment."""

    name: str
    kernel_release: str
    architecture: str
    """The machine's, in the kernel's words: uname(2)."""
    operating_system: str
    """The distribution's own name for itself, os-release(5)."""
    operating_system_version: str
    """Empty if it has none."""
    backing_filesystem: str
    """The data root's filesystem, by Docker's names."""
    forwards_ipv4: bool
    """Whether the machine forwards containers' packets, ip-sysctl.rst."""
    memory_bytes: int
    open_descriptors: int
    """The number of the daemon's open descriptors."""


class ProcessTable(NamedTuple):
    """Lines of ps(1), cut into columns."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Host(Protocol):
    """Reads facts about the machine that the engine runs on."""

    def name(self) -> str:
        """Return the machine's host name."""
        ...

    async def facts(self) -> HostFacts:
        """Read the facts."""
        ...

    async def path_exists(self, path: str) -> bool:
        """Return True if there is something at a path of the host.

        Raises:
            DriverError: its file system does not answer.
        """
        ...

    async def processes(self, ps_arguments: str, pids: Collection[int]) -> ProcessTable:
        """Return the lines of ``ps`` whose PID is one of ``pids``.

        Raises:
            InvalidRequest: arguments that ps does not know, that hide the PID, or that read files.
            Unsupported: there is no ps on this machine.
        """
        ...
