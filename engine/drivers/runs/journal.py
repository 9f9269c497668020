"""Read monitors' journals. ``runtime/journal.py`` writes them.

A record counts once its newline is there. A torn last line is left for the next read; a line in the
middle that is no record (a disk that was full, a block of NULs after a power cut) is skipped,
because the records after it are still valid.
"""

import os
from pathlib import Path
from typing import Final

from engine.runtime.facts import Fact, from_line

_BLOCK_BYTES: Final = 16 << 10
_HEAD_BYTES: Final = 64
"""Number of bytes that identify a journal's file: a new one begins with a time, a rewritten one
with the number of rewrites.
"""


class JournalReader:
    """Reads a journal as it grows, each record once, even when its monitor rewrites it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head = b""
        self._newest = 0
        self.offset = 0
        """How far it has been read, in bytes."""

    def read(self) -> tuple[Fact, ...]:
        """Return the facts that are new since the last call; none while there is no file.

        Raises:
            OSError: the file can't be read.
        """
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return ()
        try:
            self._recognise(os.pread(fd, _HEAD_BYTES, 0))
            grown = _read_from(fd, self.offset)
        finally:
            os.close(fd)
        whole = grown[: grown.rfind(b"\n") + 1]
        self.offset += len(whole)
        read = (fact for line in whole.splitlines() if (fact := from_line(line)) is not None)
        new = tuple(fact for fact in read if fact.stamp.number > self._newest)
        self._newest = max((fact.stamp.number for fact in new), default=self._newest)
        return new

    def _recognise(self, head: bytes) -> None:
        if head != self._head:
            self._head, self.offset = head, 0


def _read_from(fd: int, offset: int) -> bytes:
    """Return a file's content from an offset on; without a file object it takes a third of the
    time.
    """
    content = bytearray()
    while True:
        block = os.pread(fd, _BLOCK_BYTES, offset + len(content))
        content += block
        if len(block) < _BLOCK_BYTES:
            return bytes(content)
