"""Delete in the background what was set aside.

A removal is a rename into the trash, on the same filesystem and however much there is. What dies
here before it is deleted is found in the trash by the next daemon.
"""

from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from engine.background import Backoff, Loop, forever
from engine.drivers.lanes import Lane, Lanes
from engine.drivers.storage.trees import bury
from engine.errors import DriverError

BLOCKED: Final = Backoff(first_s=2.0, max_s=60.0)
"""When what could not be deleted is tried again: somebody has mounted something in it."""

log = structlog.get_logger()


class Trash:
    """The second half of removals, for one daemon."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._graves: dict[Path, str] = {}
        """What is to be deleted, each with the problem that it had last."""
        self._added = trio.Event()
        self._delays = BLOCKED.delays()

    def add(self, grave: Path) -> None:
        """Have a directory of the trash deleted soon."""
        self._graves[grave] = ""
        self._added.set()

    async def run(self) -> None:
        """Delete what there is, one tree after the other. Until cancelled."""
        await forever(Loop.TRASH, self._work)

    async def _work(self) -> None:
        """Delete what can be deleted; wait for more, or until what is blocked is due again."""
        self._added = trio.Event()
        for grave in tuple(self._graves):
            await self._try(grave)
        if not self._graves:
            self._delays = BLOCKED.delays()
        with trio.move_on_after(next(self._delays) if self._graves else float("inf")):
            await self._added.wait()

    async def _try(self, grave: Path) -> None:
        """Delete one tree. A problem is logged when it is new, and delays no other tree."""
        try:
            await self._lanes.run(Lane.DISK, partial(bury, grave))
        except (DriverError, OSError) as error:
            if self._graves[grave] != str(error):
                log.warning("removed_directory_not_deleted", error=str(error))
            self._graves[grave] = str(error)
        else:
            del self._graves[grave]
