"""Read containers' logs in blocks that are ready to be sent. ``runtime/logfile.py`` writes them.

A block of the file is decoded at once, filtered, and becomes as few frames of Docker's stream
format as its streams allow: a frame may hold many lines. The reader accepts a log of any length and
keeps none of it in memory.

What is no record (a line torn by a full disk, a block of NULs after a power cut) is skipped up to
the next record, and a line on stderr says how much there was: to end silently there would hide
everything that follows.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Final
from urllib.parse import quote_plus

import msgspec

from engine.drivers.logs.files import Part, close_parts, open_content, open_parts, place_of
from engine.errors import DriverError
from engine.ports.streams import LogOptions
from engine.runtime.clients import STDERR, STDOUT, frame_header
from engine.runtime.logfile import rfc3339

BLOCK_BYTES: Final = 256 << 10
"""Size of one read: large enough to be quick, small enough to take a millisecond or two."""
_TAIL_BLOCK_BYTES: Final = 1 << 20
_RECORD_START: Final = b'{"log":"'
"""Never part of a record: its quotes would be escaped there."""
_STREAMS: Final = {"stdout": STDOUT, "stderr": STDERR}


class _Line(msgspec.Struct, frozen=True):
    log: str
    stream: str
    time: str
    attrs: dict[str, str] = {}


_decoder: Final = msgspec.json.Decoder(_Line)
_stream_of: Final = attrgetter("stream")


class LogReader:
    """Reads one log from beginning to end, over all of its files, and continues when it grows."""

    def __init__(self, path: Path, options: LogOptions) -> None:
        """Opens nothing: the first block does."""
        self._path = path
        self._part: Part | None = None
        self._fd = -1
        """Descriptor of the part's content."""
        self._options = options
        self._wanted = {
            name
            for name, asked in (("stdout", options.stdout), ("stderr", options.stderr))
            if asked
        }
        self._since = rfc3339(options.since_ns).decode() if options.since_ns > 0 else ""
        self._until = rfc3339(options.until_ns).decode() if options.until_ns is not None else ""
        self._rest = b""
        self._offset = 0

    def close(self) -> None:
        """Close the log."""
        if self._part is not None:
            self._part.close()
            self._part = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def blocks(self) -> Iterator[bytes]:
        """Yield what is there now, from where the last call ended; a log that does not exist is
        empty.

        Raises:
            DriverError: the disk fails.
        """
        if self._part is None and not self._begin():
            return
        last = self._present_inode()
        yield from self._rest_of_part()
        while self._inode != last and (following := self._following()) is not None:
            # Rotated since we looked, so it is complete now: what was added meanwhile is read
            # before the next file.
            yield from self._rest_of_part()
            yield from self._torn_end()
            self._open(following)
            yield from self._rest_of_part()

    @property
    def _inode(self) -> int:
        return self._part.inode if self._part is not None else 0

    def _present_inode(self) -> int:
        """Return the inode of the file that is written to; 0 during a rotation."""
        try:
            return self._path.stat().st_ino
        except FileNotFoundError:
            return 0

    def _begin(self) -> bool:
        """Open the file that holds the first of the wanted records; return False if there is
        none.
        """
        wanted = self._options.tail
        parts = open_parts(self._path)
        try:
            while parts:
                self._open(parts.pop(0 if wanted is None else -1))
                if wanted is None:
                    break
                self._offset, found = _tail_offset(self._fd, wanted)
                wanted -= found
                if not wanted:
                    break
        finally:
            close_parts(parts)
        return self._part is not None

    def _open(self, part: Part) -> None:
        """Close one file and take over another."""
        self.close()
        self._part, self._offset = part, 0
        self._fd = open_content(part, self._path.parent)

    def _following(self) -> Part | None:
        """Return the file after ours, open; None if ours is the one that is written to."""
        assert self._part is not None
        if self._present_inode() == self._inode:
            return None
        parts = open_parts(self._path)
        place = place_of(self._part, parts)
        index = (
            0 if place is None else place + 1
        )  # ours is gone: continue with the oldest file that there is
        following = parts.pop(index) if index < len(parts) else None
        close_parts(parts)
        return following

    def _rest_of_part(self) -> Iterator[bytes]:
        size = os.fstat(self._fd).st_size
        if size < self._offset:  # truncated by another program
            self._offset, self._rest = 0, b""
        while self._offset < size:
            try:
                block = os.pread(self._fd, min(BLOCK_BYTES, size - self._offset), self._offset)
            except OSError as error:
                raise DriverError("read a log") from error
            if not block:
                return
            self._offset += len(block)
            if ready := self._take(block):
                yield ready

    def _torn_end(self) -> Iterator[bytes]:
        """Handle a file that a full disk has ended in the middle of a record."""
        torn, self._rest = self._rest, b""
        if torn and (ready := self._encode(_decode(torn))):
            yield ready

    def _take(self, block: bytes) -> bytes:
        block = self._rest + block
        cut = block.rfind(b"\n") + 1
        self._rest = block[cut:]
        return self._encode(_decode(block[:cut]))

    def _encode(self, lines: Sequence[_Line]) -> bytes:
        options = self._options
        if not (options.stdout and options.stderr):
            lines = [line for line in lines if line.stream in self._wanted]
        if self._since or self._until:
            lines = [line for line in lines if self._in_time(line)]
        if options.raw:
            return self._text(lines)
        parts: list[bytes] = []
        for stream, run in groupby(lines, _stream_of):
            text = self._text(run)
            parts += (frame_header(_STREAMS.get(stream, STDOUT), len(text)), text)
        return b"".join(parts)

    def _in_time(self, line: _Line) -> bool:
        # Times are of one width and in UTC, so they compare as text.
        return line.time >= self._since and not (self._until and line.time > self._until)

    def _text(self, lines: "Sequence[_Line] | Iterator[_Line]") -> bytes:
        options = self._options
        if options.details:
            lines = [_detailed(line) for line in lines]
        if options.timestamps:
            return "".join([f"{line.time} {line.log}" for line in lines]).encode()
        return "".join([line.log for line in lines]).encode()


def _decode(records: bytes) -> Sequence[_Line]:
    try:
        return _decoder.decode_lines(records)
    except msgspec.DecodeError:
        return list(_salvage(records))


def _salvage(records: bytes) -> Iterator[_Line]:
    """Yield the records among damaged bytes, with a remark in the place of each damage."""
    damaged, time = 0, ""
    for text in records.splitlines(keepends=True):
        line, lost = _record_in(text)
        damaged += lost
        if line is None:
            continue
        if damaged:
            yield _remark(damaged, line.time)
            damaged = 0
        yield line
        time = line.time
    if damaged:
        yield _remark(damaged, time)


def _record_in(text: bytes) -> tuple[_Line | None, int]:
    """Return the record that a line ends with, and the number of damaged bytes before it."""
    start = max(0, text.rfind(_RECORD_START))
    try:
        return _decoder.decode(text[start:]), start
    except msgspec.DecodeError:
        return None, len(text)


def _detailed(line: _Line) -> _Line:
    """Return a line with its attributes before it, in the form of a URL's query, as Docker writes
    them.
    """
    pairs = (f"{quote_plus(name)}={quote_plus(line.attrs[name])}" for name in sorted(line.attrs))
    return _Line(f"{','.join(pairs)} {line.log}", line.stream, line.time)


def _remark(damaged: int, time: str) -> _Line:
    return _Line(f"[{damaged} bytes of this log are damaged and left out]\n", "stderr", time)


def _tail_offset(fd: int, count: int) -> tuple[int, int]:
    """Return where the last ``count`` records of a file begin, searched from the end, and how many
    there are.
    """
    end = position = os.fstat(fd).st_size
    wanted = count + 1  # the newline before the first of them
    while position > 0:
        start = max(0, position - _TAIL_BLOCK_BYTES)
        block = os.pread(fd, position - start, start)
        found = block.count(b"\n")
        if found >= wanted:
            return start + _nth_last_newline(block, wanted) + 1, count
        wanted -= found
        position = start
    return (end, 0) if count == 0 else (0, count + 1 - wanted)


def _nth_last_newline(block: bytes, count: int) -> int:
    at = len(block)
    for _ in range(count):
        at = block.rfind(b"\n", 0, at)
    return at
