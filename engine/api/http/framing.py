"""Find where a request's body ends: RFC 9112 sections 6 and 7. No I/O: each framing takes bytes and
returns those of the body.
"""

import re
from abc import ABC, abstractmethod
from typing import Final

LINE_BYTES_MAX: Final = 4096
"""The longest line of a chunk's size with its extensions, which are ignored; likewise of a
trailer."""
TRAILERS_BYTES_MAX: Final = 64 << 10

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?")


class Malformed(Exception):
    """The body is not framed as it says."""


class Framing(ABC):
    """A body that is being received."""

    ended: bool
    """Whether its last byte has been taken."""

    @abstractmethod
    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the bytes of the body that ``data`` begins with, and the rest of ``data``.

        Nothing of the body while it has not ended means that more has to be received.

        Raises:
            Malformed: the end of the body can't be found.
        """


class _Bodyless(Framing):
    """The absence of a body."""

    ended = True

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        return b"", data


BODYLESS: Final = _Bodyless()


class CountedBody(Framing):
    """A body of known length."""

    def __init__(self, length: int) -> None:
        self.left = length
        self.ended = length == 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Return as many bytes as the body still lacks."""
        part, rest = data[: self.left], data[self.left :]
        self.left -= len(part)
        self.ended = self.left == 0
        return part, rest


class ChunkedBody(Framing):
    """A body in chunks, each after its size; the last chunk is empty, and trailers may follow it.

    ::

        size ──▶ data ──▶ end of data ──▶ size … size 0 ──▶ trailers ──▶ ended
    """

    def __init__(self) -> None:
        self.ended = False
        self._left = 0
        self._after_data = False
        self._in_trailers = False
        self._trailers_bytes = 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the rest of a chunk, or the beginning of the next."""
        while not self.ended:
            if self._left:
                part, data = data[: self._left], data[self._left :]
                self._left -= len(part)
                self._after_data = not self._left
                return part, data
            if self._after_data:
                if len(data) < 2:
                    self._check_end(data)
                    break
                self._check_end(data[:2])
                data, self._after_data = data[2:], False
                continue
            line, data, complete = _line(data)
            if not complete:
                break
            self._take_line(line)
        return b"", data

    def _check_end(self, data: bytes) -> None:
        if not b"\r\n".startswith(data):
            raise Malformed("a chunk does not end where it says")

    def _take_line(self, line: bytes) -> None:
        if self._in_trailers:
            self._trailers_bytes += len(line) + 2
            if self._trailers_bytes > TRAILERS_BYTES_MAX:
                raise Malformed(f"trailers of more than {TRAILERS_BYTES_MAX} bytes")
            self.ended = not line
            return
        match = _SIZE.fullmatch(line)
        if match is None:
            raise Malformed("a chunk's size is no hexadecimal number")
        self._left = int(match[1], 16)
        self._in_trailers = not self._left


def _line(data: bytes) -> tuple[bytes, bytes, bool]:
    end = data.find(b"\n", 0, LINE_BYTES_MAX)
    if end < 0:
        if len(data) >= LINE_BYTES_MAX:
            raise Malformed(f"a line of more than {LINE_BYTES_MAX} bytes")
        return b"", data, False
    if data[end - 1 : end] != b"\r":
        raise Malformed("a line ends without CR")
    return data[: end - 1], data[end + 1 :], True
