"""Write the journal of one run of a container, which the daemon reads when it can.

One JSON object per line, appended with one write(2) each, numbered from 1. A line counts once its
newline is there; a torn last line was never written. The records that end a run (``exited``,
``start_failed``) are on the disk before any client or the daemon hears of them: fdatasync(2).

Records that the daemon has taken over are not kept for ever: when it reports how far it has read,
the monitor writes a new journal without them, and replaces the old file with rename(2)::

    n=0 rewritten · monitor_started · started · what is not taken over yet …   (numbers continue)

At every moment there is one complete journal, whichever process dies. Two different files never
begin with the same bytes, by which a reader notices the replacement.

A run happens once: a journal that has a record already belongs to another monitor, even if that one
has ended; the daemon checks this before it launches, while it holds the lock.
"""

import os
import time
from collections.abc import Callable
from typing import Final

from engine.runtime.facts import (
    RECORD_TYPES,
    REWRITTEN,
    Fact,
    MonitorBegan,
    ProcessExited,
    ProcessNotStarted,
    ProcessStarted,
    Stamp,
    to_line,
)
from engine.runtime.json_text import flat
from engine.runtime.kernel_files import read_once

DURABLE: Final = frozenset({ProcessExited, ProcessNotStarted})
_BEGINNING: Final = b'{"n":'
_KEPT: Final = (
    f'"type":"{RECORD_TYPES[MonitorBegan]}"'.encode(),
    f'"type":"{RECORD_TYPES[ProcessStarted]}"'.encode(),
)
"""Records that are always kept: the identities of this run's monitor and first process."""
_REWRITTEN_SUFFIX: Final = ".new"


class Journal:
    """An open journal; ``grown`` is called with the number of the newest record."""

    def __init__(self, fd: int, grown: Callable[[int], None]) -> None:
        """Take over ``fd``, which is empty and open for appending."""
        self._fd = fd
        self._grown = grown
        self._unwritten = b""
        self._durable_due = False
        self._rewrites = 0
        self.count = 0

    def append(self, fact: Fact) -> bool:
        """Append a fact of this moment; return False if it is not written completely, then
        :meth:`retry` continues.
        """
        self.count += 1
        stamp = Stamp(self.count, time.time_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        self._unwritten += to_line(fact, stamp) + b"\n"
        self._durable_due = self._durable_due or type(fact) in DURABLE
        return self.retry()

    def retry(self) -> bool:
        """Write what could not be written before, because the disk was full; return False if it
        still is.
        """
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

    def forget(self, taken: int) -> None:
        """Rewrite the journal without the records up to number ``taken``.

        Raises:
            OSError: the disk refuses, or its directory is gone; the old journal is still used.
        """
        if self._unwritten:
            return  # its last line may be torn, and the disk is full anyway
        path = os.readlink(f"/proc/self/fd/{self._fd}")  # noqa: PTH115  (lean)
        kept = [line for line in read_once(path).splitlines(True) if _is_needed(line, taken)]
        head = flat({"n": 0, "type": REWRITTEN, "times": self._rewrites + 1}) + b"\n"
        fd = _written(path + _REWRITTEN_SUFFIX, head + b"".join(kept))
        try:
            os.rename(path + _REWRITTEN_SUFFIX, path)  # noqa: PTH104  (lean)
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd = fd
        self._rewrites += 1
        _synchronise(os.path.dirname(path))  # noqa: PTH120  (lean)


def _is_needed(line: bytes, taken: int) -> bool:
    """Return whether a line must be kept. Lines begin with ``{"n":NUMBER,"type":…``, because they
    are written here; other lines are damaged.
    """
    if not line.startswith(_BEGINNING):
        return False
    number, _, rest = line.removeprefix(_BEGINNING).partition(b",")
    return int(number) > taken or rest.startswith(_KEPT)


def _written(path: str, content: bytes) -> int:
    """Write a file with this content to the disk, and return it open for appending."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        while content:
            content = content[os.write(fd, content) :]
        os.fdatasync(fd)
    except OSError:
        os.close(fd)
        raise
    return fd


def _synchronise(directory: str) -> None:
    """Write a new name to the disk before a durable record is written to its file."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
