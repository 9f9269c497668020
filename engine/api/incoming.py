"""Requests out of a stream of bytes: h11 parses, this module receives.

Each request gets an h11 connection of its own, which inherits the bytes read too far. h11 never learns what we answer
(``outgoing`` writes that, ten times cheaper), and its machine is left where the request's last byte was read: nothing
behind it is parsed before the answer is out, be it a pipelined request or the input of a terminal.
"""

from typing import Final

import h11
import trio

from engine.api.requests import BODY_BYTES_MAX, Body
from engine.errors import EngineError, Kind

_RECEIVE_BYTES: Final = 64 << 10
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Refusal(EngineError):
    """A request that can't be read; the connection ends with the answer."""

    kind = Kind.INVALID

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Incoming:
    """The reading half of a connection."""

    def __init__(self, stream: trio.abc.Stream, head_bytes_max: int) -> None:
        self._stream = stream
        self._head_bytes_max = head_bytes_max
        self._parser = h11.Connection(h11.SERVER, head_bytes_max)
        self.body_ended = True
        """Whether the request has been read to its last byte."""

    async def begin(self) -> None:
        """Wait for the first bytes of the next request; those read too far with the last one come first."""
        self._parser, last = h11.Connection(h11.SERVER, self._head_bytes_max), self._parser
        unread, closed = last.trailing_data
        if unread:
            self._parser.receive_data(unread)
        if closed:
            self._parser.receive_data(b"")
        elif not unread:
            await self._receive()

    async def next_head(self) -> h11.Request | None:
        """The request that has begun, or None when the client has said its last.

        Raises:
            Refusal: what came is no request, or has too large a head.
        """
        while (event := self._next_event()) is h11.NEED_DATA:
            await self._receive()
        if isinstance(event, h11.Request):
            self.body_ended = False
            return event
        return None

    async def next_chunk(self) -> bytes:
        """Some bytes of the body, ``b""`` at its end; invites a client that waits for ``100 Continue``.

        Raises:
            Refusal: the body is torn or badly framed.
        """
        while not self.body_ended:
            event = self._next_event()
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if event is h11.NEED_DATA:
                if self._parser.they_are_waiting_for_100_continue:
                    await self._invite()
                await self._receive()
            else:
                self.body_ended = True
        return b""

    async def settle(self, bytes_max: int, wait_s: float) -> bool:
        """Read on to the end of a body that nobody wanted, if that is little; whether the end was reached."""
        if not self.body_ended and isinstance(event := self._next_event(), h11.EndOfMessage):
            self.body_ended = True  # as good as always: there was none
        if self.body_ended or self._parser.they_are_waiting_for_100_continue:
            return self.body_ended
        if isinstance(event, h11.Data):
            bytes_max -= len(event.data)
        with trio.move_on_after(wait_s):
            while not self.body_ended and bytes_max > 0:
                bytes_max -= len(await self.next_chunk())
        return self.body_ended

    def unread(self) -> bytes:
        """What was received behind the request."""
        return self._parser.trailing_data[0]

    async def _invite(self) -> None:
        self._parser.send(h11.InformationalResponse(status_code=100, headers=[]))
        await self._stream.send_all(_CONTINUE)

    async def _receive(self) -> None:
        self._parser.receive_data(bytes(await self._stream.receive_some(_RECEIVE_BYTES)))

    def _next_event(self) -> object:
        try:
            return self._parser.next_event()
        except h11.RemoteProtocolError as malformed:
            self.body_ended = False
            status = malformed.error_status_hint
            if status == 431:
                raise Refusal(
                    status, f"request header is larger than {self._head_bytes_max} bytes"
                ) from None
            raise Refusal(status, f"malformed request: {malformed}") from None


class IncomingBody(Body):
    """The body of the request that a connection is answering."""

    def __init__(self, incoming: Incoming, whole_s: float) -> None:
        self._incoming = incoming
        self._whole_s = whole_s

    async def next_chunk(self) -> bytes:
        """As they arrive."""
        return await self._incoming.next_chunk()

    async def read(self, bytes_max: int = BODY_BYTES_MAX) -> bytes:
        """The whole body, unless it takes the client too long: who sends JSON has it ready."""
        with trio.move_on_after(self._whole_s):
            return await super().read(bytes_max)
        raise Refusal(408, "timed out reading the request's body")
