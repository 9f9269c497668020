"""Write responses: heads and chunks, RFC 9112.

Most of a head is the same for all answers of a second, and most of the rest for all of a kind: both
are made once.
"""

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from engine.api.http.replies import Headers
from engine.api.http.router import VERSION_MAX, version_text

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
_LAST_CHUNK: Final = b"0\r\n\r\n"

CHUNKED: Final = "Transfer-Encoding: chunked\r\n"
"""Frames a body that is made while it is sent: see :func:`chunk`."""


class Heads:
    """Makes the heads of responses; most of each is the same for all."""

    def __init__(self, product: str) -> None:
        """``product`` names us in ``Server``, as RFC 9110 section 10.2.4 has it."""
        self._common = (
            f"Api-Version: {version_text(VERSION_MAX)}\r\nDocker-Experimental: false\r\nOstype: linux\r\n"
            f"Server: {product} (linux)\r\n"
        )
        self._second = 0
        self._first_lines: dict[int, bytes] = {}

    def head(
        self,
        status: int,
        *,
        correlation: str,
        media_type: str = "",
        headers: Headers = (),
        framing: str = "",
        close: bool = False,
    ) -> bytes:
        """A response's head, with the header that frames its body (see the functions below)."""
        lines = _lines(headers, media_type)
        last = "Connection: close\r\n\r\n" if close else "\r\n"
        own = f"X-Request-Id: {correlation}\r\n{lines}{framing}{last}"
        return self._first(status) + own.encode("latin-1", "replace")

    def _first(self, status: int) -> bytes:
        """Status line, who we are and what time it is: made once a second."""
        now_s = int(time.time())
        if now_s != self._second:
            self._second = now_s
            self._first_lines.clear()
        made = self._first_lines.get(status)
        if made is None:
            date = f"Date: {formatdate(now_s, usegmt=True)}\r\n"
            made = (_STATUS_LINES[status] + self._common + date).encode("latin-1")
            self._first_lines[status] = made
        return made


@lru_cache(maxsize=64)
def _lines(headers: Headers, media_type: str) -> str:
    """Most answers have the same few."""
    lines = "".join([f"{name}: {_one_line(value)}\r\n" for name, value in headers])
    return f"{lines}Content-Type: {media_type}\r\n" if media_type else lines


def upgrade_head(media_type: str) -> bytes:
    """The head behind which the connection is no longer HTTP: RFC 9110 section 7.8, in Docker's
    words.
    """
    return f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {media_type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()


def websocket_head(accept: str) -> bytes:
    """The head behind which there are frames: RFC 6455 section 4.2.2."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ).encode()


def raw_head(media_type: str) -> bytes:
    """The same for a client that did not ask for an upgrade: Docker's older way, which HTTP has no
    words for.
    """
    return f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n\r\n".encode()


def length_framing(length_bytes: int) -> str:
    """For a body that is known."""
    return f"Content-Length: {length_bytes}\r\n"


def has_body(method: str, status: int) -> bool:
    """Whether a response may have a body at all: RFC 9112 section 6.3."""
    return method != "HEAD" and status not in (204, 304)


def chunk(data: bytes) -> bytes:
    """A part of a body whose length is not known, framed; ``b""`` ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else _LAST_CHUNK


def _one_line(value: str) -> str:
    """A header's value that can't begin another header."""
    return value.replace("\r", " ").replace("\n", " ")
