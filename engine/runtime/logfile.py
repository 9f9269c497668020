r"""Write a container's log in Docker's json-file format, by blocks instead of lines.

::

    {"log":"a line\n","stream":"stdout","time":"2026-11-20T10:00:00.123456789Z"}

A block, the result of one read(2), is escaped as a whole and gets its record boundaries by a single
``replace``: all lines of a block have the same time. The usual block (printable ASCII without
quotes) is not escaped at all. A last line without newline waits for its end; at 16 KiB it is cut,
and the piece is a record without ``\n``, by which readers know that the next record continues it
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
"""The result of ``surrogateescape`` and ``surrogatepass`` for a byte that is not UTF-8."""


def escape(block: bytes) -> bytes:
    """Escape a block for JSON strings; its newlines are kept as they are.

    Each byte that is not UTF-8 becomes U+FFFD, as in Docker's logs.
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
    """Format nanoseconds since the epoch as RFC 3339 in UTC with all nine digits."""
    seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
    return b"%b.%09dZ" % (_second(seconds), nanoseconds)


def _second(seconds: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()


def encode_lines(lines: bytes, stream: str, at: bytes, more: bytes = b"") -> bytes:
    """Encode the records of whole lines. ``lines`` ends with a newline; ``more`` is a field with
    its comma, or empty.
    """
    between = b'\\n","stream":"%b",%b"time":"%b"}\n' % (stream.encode(), more, at) + _HEAD
    return (_HEAD + escape(lines)).replace(b"\n", between)[: -len(_HEAD)]


def encode_piece(piece: bytes, stream: str, at: bytes, more: bytes = b"") -> bytes:
    """Encode the record of a line's beginning, or of a last line without newline."""
    tail = b'","stream":"%b",%b"time":"%b"}\n' % (stream.encode(), more, at)
    return _HEAD + escape(piece) + tail


def split(block: bytes) -> Iterator[tuple[bytes, bool]]:
    """Cut a block into runs of whole lines (True) and pieces of lines that are too long (False).

    The last item is the rest without a newline: no longer than a piece, perhaps empty, and False.
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
    """Return where a piece that begins at ``start`` ends: not inside a character, so that none is
    lost.
    """
    end = start + LINE_BYTES_MAX
    for back in range(4):
        if block[end - back] & 0xC0 != 0x80:
            return end - back
    return end


class LogFile:
    """Writes a log. It grows by whole records, as long as the disk has room."""

    def __init__(
        self,
        fd: int,
        dropped: Callable[[int], None],
        *,
        attributes: str = "",
        rotation: Rotation | None = None,
    ) -> None:
        """Take over ``fd``, which is open for appending; ``dropped`` is called with the number of
        bytes that the disk had no room for.

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
        """Log one block of output, as it was read."""
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
        """Log the last line of a stream that has ended, even without newline."""
        rest, self._rest[stream] = self._rest[stream], b""
        if rest:
            self._append(encode_piece(rest, stream, rfc3339(time.time_ns()), self._more))

    def unended(self, stream: str) -> bytes:
        """Return the beginning of a line that has no newline yet."""
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
            # As in Docker, a new file begins before the first record for which the old one is full,
            # so the old one may be slightly larger.
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
            # The disk is full. The container's next output must start on a new line.
            self._torn = self._torn or written > 0
            self._dropped(len(records) - written)
        else:
            self._torn = False
        return written


class NoLog:
    """The sink for a container without a log."""

    def write(self, stream: str, block: bytes) -> None:
        """Discard the block."""

    def end(self, stream: str) -> None:
        """Do nothing: nothing is kept back."""

    def unended(self, stream: str) -> bytes:  # noqa: ARG002  (Sink's)
        """Return nothing: nothing is kept back."""
        return b""
