"""The monitor's own record of one run of a container: what the daemon takes over, whenever it is there to do so.

One JSON object per line, appended with one write(2) each, numbered from 1. A line counts once its newline is there; a torn
last line was never written. What decides the container's fate (``exited``, ``start_failed``) is on the disk before anyone is
told: fdatasync(2).

A run happens once: a journal that has a record already belongs to another monitor, even if that one is gone; the daemon looks
before it launches, with the lock in its hand.
"""

import os
import time
from collections.abc import Callable
from typing import Final

from engine.runtime import messages
from engine.runtime.json_text import flat

DURABLE: Final = frozenset({messages.EXITED, messages.START_FAILED})


class Journal:
    """An open journal; ``grown`` is told the number of the newest record."""

    def __init__(self, fd: int, grown: Callable[[int], None]) -> None:
        """``fd`` is empty, and appends."""
        self._fd = fd
        self._grown = grown
        self._unwritten = b""
        self._durable_due = False
        self.count = 0

    def append(self, record: str, **fields: str | int | bool | None) -> bool:
        """Add one record; False when the disk took none of it yet, :meth:`retry` tries again."""
        self.count += 1
        entry = {
            "n": self.count,
            "type": record,
            "at_ns": time.time_ns(),
            "boot_ns": time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            **fields,
        }
        self._unwritten += flat(entry) + b"\n"
        self._durable_due = self._durable_due or record in DURABLE
        return self.retry()

    def retry(self) -> bool:
        """Write what could not be written before: the disk was full. False when it still is."""
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(self._fd, self._unwritten) :]
            if self._durable_due:
                os.fdatasync(self._fd)
                self._durable_due = False
        except OSError:
            return False
        self._grown(self.count)
        return True
