"""Delete in the background what was moved to the trash.

A removal is a rename into the trash, on the same file system and at any size. What a crash leaves
there is deleted by the next daemon.
"""

from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from engine.background import Backoff, Loop, forever
from engine.drivers.lanes import Lane, Lanes
from engine.drivers.storage.trees import delete_trash
from engine.errors import DriverError

BLOCKED: Final = Backoff(first_s=2.0, max_s=60.0)
"""When to retry a deletion that failed, for example because of a mount below the directory."""

PAUSE_S: Final = 0.2
"""How long a deletion is put off: the client that has waited for a removal ends first, or starts the
next container.
"""

log = structlog.get_logger()


class Trash:
    """Deletes the directories in the trash, for one daemon."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._trashed: dict[Path, str] = {}
        """The directories to delete, each with the problem that it had last."""
        self._added = trio.Event()
        self._delays = BLOCKED.delays()

    def add(self, trashed: Path) -> None:
        """Delete a directory of the trash soon."""
        self._trashed[trashed] = ""
        self._added.set()

    async def run(self) -> None:
        """Delete all directories, one after the other, and wait for more. Until cancelled."""
        await forever(Loop.TRASH, self._work)

    async def _work(self) -> None:
        """Delete what can be deleted; wait for more, or until a failed deletion is due again."""
        if self._trashed:
            await trio.sleep(PAUSE_S)
        self._added = trio.Event()
        for trashed in tuple(self._trashed):
            await self._try(trashed)
        if not self._trashed:
            self._delays = BLOCKED.delays()
        with trio.move_on_after(next(self._delays) if self._trashed else float("inf")):
            await self._added.wait()

    async def _try(self, trashed: Path) -> None:
        """Delete one directory. A problem is logged when it is new, and delays no other
        directory.
        """
        try:
            await self._lanes.run(Lane.DISK, partial(delete_trash, trashed))
        except (DriverError, OSError) as error:
            if self._trashed[trashed] != str(error):
                log.warning("removed_directory_not_deleted", error=str(error))
            self._trashed[trashed] = str(error)
        else:
            del self._trashed[trashed]
