r"""Rotate a log when it has grown enough: rename ``NAME`` to ``NAME.1``, that to ``NAME.2``, and
delete the oldest.

::

    NAME  ──▶  NAME.1  ──▶  NAME.2  ──▶ …  NAME.(files_max - 1)  ──▶  unlinked
                 └─ compressed in slices ─▶  NAME.1.gz

A rotated file is never written to again, and keeps its inode until it is unlinked; a compressed one
names in its header the inode whose content it has (gzip's comment, RFC 1952: ``inode N``). So the
reader of a file finds the next one, whatever has been renamed meanwhile. With one file only, a new
file replaces the old one, which its readers still have open.

A crash between any two steps leaves at worst a gap in the numbers, and the next rotation fills it.
"""

import os
from collections.abc import Callable, Iterator
from typing import Final

FILE_MODE: Final = 0o640
PACKED: Final = ".gz"
GZIP_HEAD: Final = b"\x1f\x8b\x08\x10\0\0\0\0\0\x03"
"""A deflated stream with a comment, no time, made on Unix: RFC 1952, 2.3."""
COMMENT: Final = b"inode %d\0"
_SLICE_BYTES: Final = 128 << 10
"""Size of one slice of compression: two or three milliseconds."""

Later = Callable[[Callable[[], None]], None]
"""Calls back when everything that is due has been done."""


class Rotation:
    """The files of one log; the writer has the first one open."""

    def __init__(self, path: str, bytes_max: int, files_max: int, later: Later | None) -> None:
        """Store the settings; ``later`` schedules the compression of rotated files, None disables
        it.
        """
        self.path = path
        self.bytes_max = bytes_max
        self._files_max = files_max
        self._later = later
        self._packing: Iterator[None] = iter(())
        if later is not None:
            self._pack()

    def rotate(self, fd: int) -> int:
        """Rename the file behind ``fd``, and begin another one.

        Returns:
            The new file's descriptor, and ``fd`` is closed; or ``fd`` itself if no file can be made
            now.
        """
        for _ in self._packing:  # renaming would disturb a compression in progress
            pass
        try:
            fresh_fd = self._begin()
        except OSError:
            return fd
        os.close(fd)
        if self._later is not None:
            self._pack()
        return fresh_fd

    def _begin(self) -> int:
        fresh = f"{self.path}.new"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        fd = os.open(fresh, flags, FILE_MODE)
        try:
            if self._files_max > 1 and os.access(self.path, os.F_OK):
                self._shift()
                os.rename(self.path, self._rotated_name(1))  # noqa: PTH104  (lean)
            os.rename(fresh, self.path)  # noqa: PTH104  (lean)
        except OSError:
            os.close(fd)
            raise
        return fd

    def _shift(self) -> None:
        """Free number 1, by as few renames as the numbers allow."""
        last = self._files_max - 1
        free = next((number for number in range(1, last) if not self._found(number)), last)
        for name in self._found(free):
            os.unlink(name)  # noqa: PTH108  (lean)
        for number in range(free - 1, 0, -1):
            for name in self._found(number):
                packed = PACKED if name.endswith(PACKED) else ""
                os.rename(name, self._rotated_name(number + 1) + packed)  # noqa: PTH104  (lean)

    def _rotated_name(self, number: int) -> str:
        return f"{self.path}.{number}"

    def _found(self, number: int) -> list[str]:
        name = self._rotated_name(number)
        return [each for each in (name, name + PACKED) if os.access(each, os.F_OK)]

    def _pack(self) -> None:
        """Compress all rotated files in the background, slice by slice."""
        names = map(self._rotated_name, range(self._files_max - 1, 0, -1))
        waiting = [name for name in names if os.access(name, os.F_OK)]
        if waiting and self._later is not None:
            self._packing = _packed(waiting, f"{self.path}.packing")
            self._later(self._step)

    def _step(self) -> None:
        for _ in self._packing:
            if self._later is not None:
                self._later(self._step)
            return


def _packed(names: list[str], draft: str) -> Iterator[None]:
    """Compress files one after the other, a slice per step; a file that can't be compressed stays
    as it is.
    """
    for name in names:
        try:
            yield from _pack_one(name, draft)
        except OSError:
            continue


def _pack_one(name: str, draft: str) -> Iterator[None]:
    import zlib  # here: other monitors need not pay for it

    packer, check, size = zlib.compressobj(wbits=-zlib.MAX_WBITS), 0, 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    source_fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        draft_fd = os.open(draft, flags, FILE_MODE)
        try:
            _write(draft_fd, GZIP_HEAD + COMMENT % os.fstat(source_fd).st_ino)
            while block := os.read(source_fd, _SLICE_BYTES):
                check, size = zlib.crc32(block, check), size + len(block)
                _write(draft_fd, packer.compress(block))
                yield
            trailer = check.to_bytes(4, "little") + (size & 0xFFFF_FFFF).to_bytes(4, "little")
            _write(draft_fd, packer.flush() + trailer)
        finally:
            os.close(draft_fd)
    finally:
        os.close(source_fd)
    os.rename(draft, name + PACKED)  # noqa: PTH104  (lean)
    os.unlink(name)  # noqa: PTH108  (lean)


def _write(fd: int, content: bytes) -> None:
    while content:
        content = content[os.write(fd, content) :]
