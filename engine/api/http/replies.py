"""Define what a handler returns: values that describe the response, so that handlers do no I/O on
the connection.
"""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

Headers = tuple[tuple[str, str], ...]
Sink = Callable[[bytes], Awaitable[None]]
"""Sends bytes of a body; waits while the client is slow."""
Take = Callable[[socket.socket, bytes], Awaitable[None]]
"""Takes a socket of its own, which it must close, and the client's bytes that were read already."""

JSON: Final = "application/json"
PLAIN_TEXT: Final = "text/plain; charset=utf-8"

_encode_json: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Answer:
    """A response whose body is known."""

    status: int
    body: bytes = b""
    media_type: str = ""
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Streamed:
    """A response whose head is sent at once and whose body is made while it is sent."""

    produce: Callable[[Sink], Awaitable[None]]
    media_type: str
    status: int = 200
    headers: Headers = ()
    endless: bool = False
    """It does not end by itself, so a daemon that shuts down ends it at once."""
    release: Callable[[], None] | None = None
    """Releases what the body is made from; always called, even if the body is never made."""


@dataclass(frozen=True, slots=True)
class WebSocket:
    """How a client that asked for a WebSocket is answered."""

    accept: str
    """The answer to the client's key: :func:`engine.api.http.websocket.accept_token`."""
    text: bool = False
    """Text frames towards the client, not binary ones."""


@dataclass(frozen=True, slots=True)
class Hijacked:
    """A response that leaves HTTP: after the head the connection belongs to another owner.

    What ``take`` raises is logged; no error response is possible any more.
    """

    take: Take
    media_type: str
    websocket: WebSocket | None = None
    """The client sees frames, and ``take`` gets the bytes in them."""
    speaks_first: bool = False
    """``take`` sends output without waiting for input."""


Reply = Answer | Streamed | Hijacked


def json_line(value: Any) -> bytes:  # Any: everything msgspec can encode
    """Encode one line of a stream of JSON values."""
    return _encode_json(value) + b"\n"


def json_answer(
    value: Any, status: int = 200, headers: Headers = ()
) -> Answer:  # Any: everything msgspec can encode
    """Return an answer of one JSON value, with the newline that Docker's encoder adds."""
    return Answer(status, _encode_json(value) + b"\n", JSON, headers)


NO_CONTENT: Final = Answer(204)
