"""Send and receive bytes in WebSocket frames (RFC 6455, by wsproto), for clients that attach by it.

Imported with the first of them.
"""

import base64
import binascii
from codecs import getincrementaldecoder
from contextlib import suppress
from typing import Final

import trio
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, generate_accept_token

from engine.api.http.requests import Request
from engine.api.http.transports import Transport
from engine.errors import InvalidRequest

_KEY_BYTES: Final = 16
_VERSION: Final = "13"


def accept_token(request: Request) -> str:
    """Return the proof that we understood the handshake: RFC 6455 section 4.2.

    Raises:
        InvalidRequest: it is no request for a WebSocket, or not of this version.
    """
    headers = request.headers
    if (
        headers.get("upgrade", "").lower() != "websocket"
        or "upgrade" not in headers.get("connection", "").lower()
    ):
        raise InvalidRequest("not websocket protocol")
    if headers.get("sec-websocket-version") != _VERSION:
        raise InvalidRequest(f"missing or bad WebSocket Version, expected {_VERSION}")
    key = headers.get("sec-websocket-key", "")
    try:
        complete = len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        complete = False
    if not complete:
        raise InvalidRequest("mismatch challenge/response")
    return generate_accept_token(key.encode()).decode()


class WebSocketTransport:
    """A client whose bytes are in frames. Its close frame ends both directions."""

    is_plain: Final = False

    def __init__(self, under: Transport, unread: bytes, *, text: bool) -> None:
        """``under`` carries the frames; ``unread`` came behind the request."""
        self._under = under
        self.socket: Final = under.socket
        self._frames = Connection(ConnectionType.SERVER)
        self._unread = unread
        self._ready = bytearray()
        self._over = False
        self._decoder = getincrementaldecoder("utf-8")("replace") if text else None
        self._sending = trio.Lock()

    async def receive(self) -> bytes:
        """Return the bytes of messages of either kind.

        Raises:
            trio.BrokenResourceError: the client has closed, properly or not.
        """
        while not self._ready:
            data = b"" if self._over else self._unread or await self._under.receive()
            self._unread = b""
            if not data:
                raise trio.BrokenResourceError
            self._frames.receive_data(data)
            for event in self._frames.events():
                await self._take(event)
        received, self._ready = bytes(self._ready), bytearray()
        return received

    async def _take(self, event: Event) -> None:
        match event:
            case BytesMessage():
                self._ready += event.data
            case TextMessage():
                self._ready += event.data.encode()
            case Ping():
                await self._answer(event.response())
            case CloseConnection():
                # The client's own end is answered alike; frames that break the rules get an error.
                broken = self._frames.state is ConnectionState.OPEN
                await self._answer(event if broken else event.response())
                self._over = True

    async def _answer(self, event: Event) -> None:
        """Send an answer; what came before it counts, even if the client no longer listens."""
        with suppress(trio.BrokenResourceError):
            await self._say(event)

    async def send(self, data: bytes) -> None:
        """Send one message; in a text, invalid bytes become replacement characters."""
        if self._decoder is None:
            await self._say(BytesMessage(data=data))
        elif text := self._decoder.decode(data):
            await self._say(TextMessage(data=text))

    async def send_eof(self) -> None:
        """Close in good order: nothing can be sent or received after it."""
        await self._say(CloseConnection(code=CloseReason.NORMAL_CLOSURE))
        await self._under.send_eof()

    async def _say(self, event: Event) -> None:
        async with self._sending:
            try:
                frame = self._frames.send(event)
            except LocalProtocolError:  # after a close there is nothing to say
                return
            await self._under.send(frame)
