r"""Write a container's log in Docker's json-file format, by blocks instead of lines.

::

    {"log":"a line\n","stream":"stdout","time":"2026-11-20T10:00:00.123456789Z"}

A block, whatever one read(2) returned, is escaped as a whole and gets its record boundaries by a
single ``replace``: all lines that came together carry one time. The usual block (printable ASCII
without quotes) is not escaped at all. A last line without newline waits for its end; at 16 KiB it
is cut, and the piece is a record without ``\n``, by which readers know to join it with the next
(the rules of moby's ``copier.go`` and ``jsonlogbytes.go``).
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Final

from engine.runtime.log_rotation import Rotation

LINE_BYTES_MAX: Final = 16 * 1024
"""Longer lines become several records; the newline counts."""

_HEAD: Final = b'{"log":"'
_PLAIN: Final = bytes(byte for byte in range(0x20, 0x80) if byte not in b'"\\<>&') + b"\n"
_ESCAPES: Final = (
    (b"\\", b"\\\\"),  # first: the others add backslashes
    (b'"', b'\\"'),
    (b"\r", b"\\r"),
    *(
        (bytes([byte]), b"\\u%04x" % byte)
        for byte in (*b"<>&", *range(0x20))
        if byte not in b"\n\r"
    ),
)
_UNDECODABLE: Final = re.compile(rb"\xed[\xb2\xb3][\x80-\xbf]")
"""What ``surrogateescape`` and ``surrogatepass`` together make of a byte that is not UTF-8."""


def escape(block: bytes) -> bytes:
    """The block as the inside of JSON strings, its newlines left as they are.

    Bytes that are not UTF-8 become U+FFFD each, as in Docker's logs.
    """
    odd = block.translate(None, _PLAIN)
    if not odd:
        return block
    if not odd.isascii():
        block = _as_utf8(block)
    for byte, escaped in _ESCAPES:
        if byte in odd:
            block = block.replace(byte, escaped)
    return block


def _as_utf8(block: bytes) -> bytes:
    try:
        block.decode()
    except UnicodeDecodeError:
        text = block.decode(errors="surrogateescape")
        block = _UNDECODABLE.sub(b"\xef\xbf\xbd", text.encode(errors="surrogatepass"))
    return block


def rfc3339(at_ns: int) -> bytes:
    """A moment since the epoch, as RFC 3339 in UTC with all nine digits."""
    seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
    return b"%b.%09dZ" % (_second(seconds), nanoseconds)


def _second(seconds: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()


def encode_lines(lines: bytes, stream: str, at: bytes, more: bytes = b"") -> bytes:
    """Records of whole lines; ``lines`` ends with a newline, and ``more`` is a field with its
    comma, or nothing.
    """
    between = b'\\n","stream":"%b",%b"time":"%b"}\n' % (stream.encode(), more, at) + _HEAD
    return (_HEAD + escape(lines)).replace(b"\n", between)[: -len(_HEAD)]


def encode_piece(piece: bytes, stream: str, at: bytes, more: bytes = b"") -> bytes:
    """The record of a line's beginning, or of a last line that nobody ended."""
    tail = b'","stream":"%b",%b"time":"%b"}\n' % (stream.encode(), more, at)
    return _HEAD + escape(piece) + tail


def split(block: bytes) -> Iterator[tuple[bytes, bool]]:
    """Cut a block into runs of whole lines (True) and pieces of lines that are too long (False).

    The last item is what has no newline yet: no longer than a piece, perhaps empty, and False like
    one.
    """
    start = position = 0
    while True:
        newline = block.rfind(b"\n", position, position + LINE_BYTES_MAX)
        if newline >= 0:
            position = newline + 1
            continue
        if position > start:
            yield block[start:position], True
        if len(block) - position <= LINE_BYTES_MAX:
            yield block[position:], False
            return
        end = _cut(block, position)
        yield block[position:end], False
        start = position = end


def _cut(block: bytes, start: int) -> int:
    """Where a piece that begins at ``start`` ends: not inside a character, so that none is lost."""
    end = start + LINE_BYTES_MAX
    for back in range(4):
        if block[end - back] & 0xC0 != 0x80:
            return end - back
    return end


class LogFile:
    """The end of a log that is written to. It grows by whole records, as long as the disk has
    room.
    """

    def __init__(
        self,
        fd: int,
        dropped: Callable[[int], None],
        *,
        attributes: str = "",
        rotation: Rotation | None = None,
    ) -> None:
        """``fd`` appends; ``dropped`` is told of bytes that the disk had no room for.

        ``attributes`` is a JSON object that every record carries, ``rotation`` begins new files.
        """
        self._fd = fd
        self._dropped = dropped
        self._more = b'"attrs":%b,' % attributes.encode() if attributes else b""
        self._rotation = rotation
        self._size = os.fstat(fd).st_size if rotation else 0
        self._torn = False
        self._rest = {"stdout": b"", "stderr": b""}

    def write(self, stream: str, block: bytes) -> None:
        """Log what a process wrote: one block, as it was read."""
        rest = self._rest[stream]
        at = rfc3339(time.time_ns())
        if rest:
            block = rest + block
        if block.endswith(b"\n") and len(block) <= LINE_BYTES_MAX:  # the usual case
            self._rest[stream] = b""
            self._append(encode_lines(block, stream, at, self._more))
            return
        *parts, (rest, _) = split(block)
        self._rest[stream] = rest
        for part, whole in parts:
            encode = encode_lines if whole else encode_piece
            self._append(encode(part, stream, at, self._more))

    def end(self, stream: str) -> None:
        """No more will come on this stream: log the line that nobody ended."""
        rest, self._rest[stream] = self._rest[stream], b""
        if rest:
            self._append(encode_piece(rest, stream, rfc3339(time.time_ns()), self._more))

    def unended(self, stream: str) -> bytes:
        """The beginning of a line whose end has not come."""
        return self._rest[stream]

    def _append(self, records: bytes) -> None:
        rotation = self._rotation
        if rotation is None:
            self._write(records)
            return
        while records:
            if self._size >= rotation.bytes_max:
                self._fd = rotation.rotate(self._fd)
                self._size = os.fstat(self._fd).st_size
            # Docker begins a new file before the first record that finds the old one full, so that
            # one may be a little over.
            cut = records.find(b"\n", max(0, rotation.bytes_max - self._size - 1)) + 1
            if self._size >= rotation.bytes_max:  # there could be no other file
                cut = len(records)
            piece, records = records[: cut or len(records)], records[cut or len(records) :]
            self._size += self._write(piece)

    def _write(self, records: bytes) -> int:
        if self._torn:
            records = b"\n" + records
        try:
            written = os.write(self._fd, records)
        except OSError:
            written = 0
        if written < len(records):
            # The disk is full. What the container says next must start on a line of its own.
            self._torn = self._torn or written > 0
            self._dropped(len(records) - written)
        else:
            self._torn = False
        return written


class NoLog:
    """For a container whose output nobody keeps."""

    def write(self, stream: str, block: bytes) -> None:
        """Forget it."""

    def end(self, stream: str) -> None:
        """Nothing is left."""

    def unended(self, stream: str) -> bytes:  # noqa: ARG002  (Sink's)
        """Nothing is kept back."""
        return b""
