"""What has been set aside is deleted while nobody waits for it.

A removal is a rename into the trash, on the same filesystem and however much there is. What dies here before it is deleted is
found in the trash by the next daemon.
"""

from collections import deque
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from engine.drivers.filesystems.trees import bury
from engine.drivers.lanes import Lane, Lanes
from engine.errors import DriverError

RETRY_S: Final = 2.0
"""After which what could not be deleted is tried again: somebody has mounted something in it."""

log = structlog.get_logger()


class Trash:
    """The second half of removals, for one daemon."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._graves: deque[Path] = deque()
        self._added = trio.Event()

    def add(self, grave: Path) -> None:
        """Have a directory of the trash deleted soon."""
        self._graves.append(grave)
        self._added.set()

    async def run(self) -> None:
        """Delete what there is, one tree after the other. Until cancelled."""
        while True:
            self._added = trio.Event()
            blocked = [grave for grave in self._drained() if not await self._buried(grave)]
            self._graves.extend(blocked)
            with trio.move_on_after(RETRY_S if blocked else float("inf")):
                await self._added.wait()

    def _drained(self) -> list[Path]:
        graves = list(self._graves)
        self._graves.clear()
        return graves

    async def _buried(self, grave: Path) -> bool:
        try:
            await self._lanes.run(Lane.DISK, partial(bury, grave))
        except DriverError as error:
            log.warning("removed_directory_not_deleted", error=str(error), retry_s=RETRY_S)
            return False
        return True
