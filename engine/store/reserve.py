"""Reserve disk space for events that a full disk must not refuse.

A full disk gets room again when containers are stopped and removed, so these events must still be
recorded. A file beside the database holds the room for them. When the disk is full the file is cut
slice by slice: if all of it were given back at once, a container's log could take the room first.
Until the disk has room for the whole file again only essential appends are admitted, or creations
would use up what stops need.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 2 << 20
SLICE_BYTES: Final = 64 << 10
"""A few transactions: each writes some pages of 4 KiB into the journal."""


class Reserve:
    """A preallocated file; it shrinks as reserved space is used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._left = 0
        self.refill()

    @property
    def spent(self) -> bool:
        """Return whether some of the reserve has been used and not been refilled."""
        return self._left < RESERVE_BYTES

    def refill(self) -> bool:
        """Extend the file to its full size, or leave it as it is if the disk has no room for that.

        Half of it would be worse than none: it would take away the room just made for a stop.
        """
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            self._left = os.fstat(fd).st_size
            os.posix_fallocate(fd, 0, RESERVE_BYTES)
            self._left = RESERVE_BYTES
        except OSError:
            _cut(fd, self._left)
        finally:
            os.close(fd)
        return not self.spent

    def spend(self) -> bool:
        """Give one slice back to the disk.

        Returns:
            False when there was nothing left to give.
        """
        if self._left == 0:
            return False
        self._left = max(0, self._left - SLICE_BYTES)
        try:
            os.truncate(self._path, self._left)
        except OSError:
            return False
        return True


def _cut(fd: int, size: int) -> None:
    """Give back what a failed attempt took. If this fails, too, the next refill tries again."""
    with suppress(OSError):
        os.ftruncate(fd, size)
