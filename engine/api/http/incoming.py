"""Read requests from a stream of bytes: httptools parses heads, this module receives them and
frames bodies.

httptools is llhttp, the parser of Node.js: strict, and six times as fast as one in Python. It gets
heads alone, each to its last byte and no further, because it can't be stopped: what follows may be
a body, a pipelined request, or the input of a terminal, and is not parsed before its turn.

On top of llhttp's rules these are refused: HTTP versions but 1.0 and 1.1, a ``Host`` that is
missing or repeated, and transfer codings other than ``chunked`` alone (RFC 9112 sections 2.3,
3.2, 6.1).
"""

from dataclasses import dataclass
from typing import Final

import httptools
import trio

from engine.api.http.framing import BODYLESS, ChunkedBody, CountedBody, Framing, Malformed
from engine.api.http.requests import BODY_BYTES_MAX, Body
from engine.api.http.transports import Transport
from engine.errors import EngineError, Kind

HEADERS_MAX: Final = 256
_HEAD_END: Final = b"\r\n\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LISTS: Final = frozenset({"connection", "transfer-encoding"})
"""Headers that may be repeated: RFC 9110 section 5.3. Of others the last one counts, except
``Host``."""


class Refusal(EngineError):
    """A request that can't be read; the connection ends with the answer."""

    kind = Kind.INVALID

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True, eq=False)
class Head:
    """A request without its body."""

    method: str
    target: str
    headers: dict[str, str]
    """By lower-case name."""
    version: str
    """``1.0`` or ``1.1``."""

    @property
    def keeps_alive(self) -> bool:
        """Return whether the client expects to use the connection again: RFC 9112 section 9.3."""
        return self.version == "1.1" and "close" not in self.headers.get("connection", "").lower()


class _Fields:
    """What the parser reports of a head."""

    __slots__ = ("count", "headers", "target")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.target = b""
        self.headers: dict[str, str] = {}
        self.count = 0

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.lower().decode("ascii"), value.decode("latin-1")
        self.count += 1
        if key in self.headers:
            self._repeated(key, text)
        else:
            self.headers[key] = text

    def _repeated(self, key: str, text: str) -> None:
        if key == "host":
            raise Refusal(400, "malformed request: too many Host headers")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in _LISTS else text


class Incoming:
    """The reading half of a connection."""

    def __init__(self, transport: Transport, head_bytes_max: int, head_s: float) -> None:
        self._transport = transport
        self._head_bytes_max = head_bytes_max
        self._head_s = head_s
        self._fields = _Fields()
        self._parser: httptools.HttpRequestParser | None = None
        self._received = b""
        self._body: Framing = BODYLESS
        self._invites = False
        self.begun = False
        """Whether the next request's first byte is here."""

    @property
    def body_ended(self) -> bool:
        """Return whether the request has been read to its last byte."""
        return self._body.ended

    def unread(self) -> bytes:
        """Return what was received after the request."""
        return self._received

    async def next_head(self) -> Head | None:
        """Return the next request, or None if the client sends no more.

        Raises:
            Refusal: what came is no request, too large, or too slow.
        """
        self.begun = bool(self._received)
        data = self._received or await self._transport.receive()
        if not data:
            return None
        self.begun = True
        end = data.find(_HEAD_END) + 4
        if 4 <= end <= self._head_bytes_max and data[0] not in b"\r\n":
            self._received = data[end:]
            self._parse(data[:end])
            return self._head()
        return await self._slow_head(data)

    async def _slow_head(self, data: bytes) -> Head | None:
        """Parse a head that arrives in pieces as they come, so that what is no request is refused
        at once.
        """
        with trio.move_on_after(self._head_s):
            return await self._head_in_pieces(data)
        raise Refusal(408, "timed out reading the request's header")

    async def _head_in_pieces(self, data: bytes) -> Head | None:
        while not (head := data.lstrip(b"\r\n")):  # before a request-line: RFC 9112 section 2.2
            data = await self._transport.receive()
            if not data:
                return None
        parsed = 0
        while (end := head.find(_HEAD_END, max(0, parsed - 3)) + 4) < 4:
            if len(head) > self._head_bytes_max:
                raise self._too_large()
            self._parse(head[parsed:])
            parsed = len(head)
            more = await self._transport.receive()
            if not more:
                return None
            head += more
        if end > self._head_bytes_max:
            raise self._too_large()
        self._received = head[end:]
        self._parse(head[parsed:end])
        return self._head()

    def _too_large(self) -> Refusal:
        return Refusal(431, f"request header is larger than {self._head_bytes_max} bytes")

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            self._fields.begin()
            parser = self._parser = httptools.HttpRequestParser(self._fields)
            # A request may have no coding but one, which _head() sees to, with the status that is
            # meant for it.
            parser.set_dangerous_leniencies(lenient_transfer_encoding=True)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # the head is complete, and the client asks for another protocol
        except httptools.HttpParserError as malformed:
            self._body = UNREADABLE
            if isinstance(malformed.__context__, Refusal):
                raise malformed.__context__ from None
            raise Refusal(400, f"malformed request: {malformed}") from None

    def _head(self) -> Head:
        """Return what the parser has reported, once it has seen the whole head."""
        parser, fields = self._parser, self._fields
        assert parser is not None
        head = Head(
            parser.get_method().decode("ascii"),
            fields.target.decode("ascii"),
            fields.headers,
            parser.get_http_version(),
        )
        self._body = UNREADABLE
        self._check(head, fields.count)
        self._body = _framing(head.headers)
        self._invites = False
        if "expect" in head.headers:
            self._expect(head)
        if self._body.ended and "upgrade" not in head.headers and head.method != "CONNECT":
            fields.begin()  # the parser, too, is where it was
        else:
            self._parser = None
        return head

    def _check(self, head: Head, count: int) -> None:
        if head.version == "1.1":
            if "host" not in head.headers:
                raise Refusal(400, "malformed request: missing required Host header")
        elif head.version != "1.0":
            raise Refusal(505, f"unsupported protocol version HTTP/{head.version}")
        elif "transfer-encoding" in head.headers:
            raise Refusal(400, "malformed request: HTTP/1.0 knows no transfer codings")
        if count > HEADERS_MAX:
            raise Refusal(431, f"request has more than {HEADERS_MAX} headers")

    def _expect(self, head: Head) -> None:
        """Obey ``Expect``, RFC 9110 section 10.1.1; HTTP/1.0 does not have it."""
        if head.version == "1.0":
            return
        if head.headers["expect"].lower() != "100-continue":
            self._body = UNREADABLE
            raise Refusal(417, f"unknown expectation: {head.headers['expect']}")
        self._invites = not self._body.ended

    async def next_chunk(self) -> bytes:
        """Return some bytes of the body, ``b""`` at its end; send ``100 Continue`` to a client that
        waits for it.

        Raises:
            Refusal: the body is torn or badly framed.
        """
        while not self._body.ended:
            part, self._received = self._framed(self._received)
            if part:
                return part
            if not self._body.ended:
                await self._receive_more()
        return b""

    def at_hand(self, bytes_max: int) -> bytes | None:
        """Return the whole body if it has arrived already and is not larger; None if it has to be
        waited for.
        """
        body = self._body
        if type(body) is not CountedBody or not body.left <= min(len(self._received), bytes_max):
            return b"" if body.ended else None
        part, self._received = self._framed(self._received)
        return part

    def _framed(self, data: bytes) -> tuple[bytes, bytes]:
        try:
            return self._body.take(data)
        except Malformed as malformed:
            self._body = UNREADABLE
            raise Refusal(400, f"malformed request: {malformed}") from None

    async def _receive_more(self) -> None:
        if self._invites:
            self._invites = False
            await self._transport.send(_CONTINUE)
        more = await self._transport.receive()
        if not more:
            self._body = UNREADABLE
            raise Refusal(400, "unexpected EOF")
        self._received += more

    async def settle(self, bytes_max: int, wait_s: float) -> bool:
        """Read the rest of an ignored body if it is small. Returns whether the end was reached."""
        if self._invites or self._body is UNREADABLE:
            return False
        with trio.move_on_after(wait_s):
            while not self.body_ended and bytes_max > 0:
                bytes_max -= len(await self.next_chunk())
        return self.body_ended


class _Unreadable(Framing):
    """The end of input that could not be parsed: nothing after it can be."""

    ended = False

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        raise Malformed(f"{len(data)} bytes behind what is no request")


UNREADABLE: Final = _Unreadable()


def _framing(headers: dict[str, str]) -> Framing:
    """Return how the body ends. llhttp has refused an invalid length, two lengths, and a length
    beside a coding.
    """
    length = headers.get("content-length")
    if length is not None:
        return CountedBody(int(length)) if length != "0" else BODYLESS
    coding = headers.get("transfer-encoding")
    if coding is None:
        return BODYLESS
    if coding.lower() != "chunked":
        raise Refusal(501, f"unsupported transfer encoding: {coding}")
    return ChunkedBody()


class IncomingBody(Body):
    """The body of the request that a connection is answering."""

    def __init__(self, incoming: Incoming, whole_s: float) -> None:
        self._incoming = incoming
        self._whole_s = whole_s

    async def next_chunk(self) -> bytes:
        """Return bytes as they arrive."""
        return await self._incoming.next_chunk()

    async def read(self, bytes_max: int = BODY_BYTES_MAX) -> bytes:
        """Return the whole body, unless it takes the client too long."""
        if (whole := self._incoming.at_hand(bytes_max)) is not None:
            return whole
        with trio.move_on_after(self._whole_s):
            return await super().read(bytes_max)
        raise Refusal(408, "timed out reading the request's body")
