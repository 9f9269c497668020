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
    """Makes the heads of responses."""

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
        """Return a response's head, with the header that frames its body (see the functions
        below).
        """
        lines = _lines(headers, media_type)
        last = "Connection: close\r\n\r\n" if close else "\r\n"
        own = f"X-Request-Id: {correlation}\r\n{lines}{framing}{last}"
        return self._first(status) + own.encode("latin-1", "replace")

    def _first(self, status: int) -> bytes:
        """Return the status line, ``Server`` and ``Date``: made once a second."""
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
    """Return the other header lines: most answers have the same few."""
    lines = "".join([f"{name}: {_one_line(value)}\r\n" for name, value in headers])
    return f"{lines}Content-Type: {media_type}\r\n" if media_type else lines


def upgrade_head(media_type: str) -> bytes:
    """Return the head after which the connection is no longer HTTP: RFC 9110 section 7.8, in
    Docker's words.
    """
    return f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {media_type}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()


def websocket_head(accept: str) -> bytes:
    """Return the head after which frames follow: RFC 6455 section 4.2.2."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ).encode()


def raw_head(media_type: str) -> bytes:
    """Return the head after which the connection is no longer HTTP, for a client that did not ask
    for an upgrade: Docker's older way.
    """
    return f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n\r\n".encode()


def length_framing(length_bytes: int) -> str:
    """Return the header for a body of known length."""
    return f"Content-Length: {length_bytes}\r\n"


def has_body(method: str, status: int) -> bool:
    """Return whether a response may have a body at all: RFC 9112 section 6.3."""
    return method != "HEAD" and status not in (204, 304)


def chunk(data: bytes) -> bytes:
    """Frame a part of a body whose length is not known; ``b""`` ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else _LAST_CHUNK


def _one_line(value: str) -> str:
    """Return a header's value that can't begin another header."""
    return value.replace("\r", " ").replace("\n", " ")
