"""LinuxHost: the port for the host, answered by the machine that the daemon runs on."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from engine.drivers.host.facts import read_facts
from engine.drivers.host.process_list import full_listing
from engine.drivers.host.ps import checked_words, run_ps, table_of
from engine.drivers.lanes import Family, Lane, Lanes
from engine.errors import DriverError
from engine.ports.host import HostFacts, ProcessTable

LOOK_UP_S: Final = 30.0
"""How long a path may take to be looked up."""
_USUAL: Final[tuple[list[str], ...]] = ([], ["-ef"])


@dataclass(frozen=True, slots=True)
class LinuxHost:
    """The port for the host: facts and processes of the daemon's own machine."""

    data_root: Path
    lanes: Lanes

    def name(self) -> str:
        """Return the machine's host name, uname(2)."""
        return os.uname().nodename

    async def facts(self) -> HostFacts:
        """Read the facts about the machine."""
        return await self.lanes.run(Lane.OBSERVE, partial(read_facts, self.data_root))

    async def path_exists(self, path: str) -> bool:
        """Return True if there is something at a path, whose file system may not answer.

        Raises:
            DriverError: it has not answered in time, or several look-ups of the path still hang.
        """
        self.lanes.refuse_hanging(path)
        with trio.move_on_after(LOOK_UP_S):
            return await self.lanes.run_for(path, Path(path).exists, Family.LOOK_UPS)
        raise DriverError(f"the file system of bind source {path} doesn't answer")

    async def processes(self, ps_arguments: str, pids: Collection[int]) -> ProcessTable:
        """Return the lines of ``ps`` whose PID is one of ``pids``. The usual arguments are answered
        without running ps.

        Raises:
            InvalidRequest: arguments that ps does not know, that hide the PID, or that read files.
            Unsupported: there is no ps on this machine.
        """
        words = checked_words(ps_arguments)
        if words in _USUAL:
            return await self.lanes.run(Lane.OBSERVE, partial(full_listing, tuple(pids)))
        return table_of(await run_ps(words, pids), pids)
