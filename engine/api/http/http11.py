"""Serve one connection: read requests and write replies, one after the other.

Theory of operation. A connection is a task. It reads a head, lets the application make a reply,
writes the reply, and begins again; requests that arrive before their turn wait in the buffer, so
pipelining is correct and wins nothing.

           next_head        application(request)          send
    idle ────────────▶ asked ────────────────────▶ replied ─────▶ idle       keep-alive, and the body was read to its end
      │                  │                            ├─────────▶ closed     ``Connection: close``, HTTP/1.0, shutting down
      │ the client is    │ the client hangs up:       └─────────▶ handed over  hijacked: the descriptor is another's now
      ▼ silent or done   ▼ the handler is cancelled
    closed             closed

Whatever goes wrong before the head of a response is out becomes an error response, here and nowhere
else. After it, the connection is cut short so that the client sees a body without an end, and
cannot take a part for the whole.

A request that is short costs no deadline and no cancel scope of its own: one scope spans the
connection, and who is silent for too long is found by :meth:`Connection.grow_older`, which the
server calls now and then.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
import trio
from structlog.contextvars import bind_contextvars

from engine.api.http.correlation import fresh_correlation
from engine.api.http.handover import framed, give_away, relay_away, send_final_head
from engine.api.http.hangups import HangUps
from engine.api.http.incoming import Incoming, IncomingBody, Refusal
from engine.api.http.outgoing import (
    CHUNKED,
    Heads,
    chunk,
    has_body,
    length_framing,
)
from engine.api.http.relay import Relay
from engine.api.http.replies import Answer, Hijacked, Reply, Streamed
from engine.api.http.requests import Request
from engine.api.http.status import answer_error, error_answer
from engine.api.http.transports import Transport
from engine.domain.event import Actor

Application = Callable[[Request], Awaitable[Reply]]

_SETTLE_BYTES: Final = 256 << 10
_SETTLE_S: Final = 5.0
_LINGER_S: Final = 1.0
_LINGER_BYTES: Final = 4 << 20
_AGES: Final = 4
"""Idle connections are checked so many times within their limit, and closed at most that part of it
too late."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a connection waits for its client."""

    head_bytes: int = 64 << 10
    head_s: float = 10.0
    """From a head's first byte to its last; likewise for a TLS handshake."""
    body_s: float = 60.0
    """For a body that is read whole; a streamed body has no limit."""
    idle_s: float = 600.0
    """Between requests, and up to a quarter more."""

    @property
    def age_s(self) -> float:
        """Return how often connections grow older."""
        return self.idle_s / _AGES


class Connection:
    """Answers one client."""

    def __init__(
        self,
        transport: Transport,
        application: Application,
        actor: Actor,
        heads: Heads,
        limits: Limits,
        hang_ups: HangUps,
    ) -> None:
        self._transport = transport
        self._application = application
        self._actor = actor
        self._heads = heads
        self._limits = limits
        self._hang_ups = hang_ups
        self._incoming = Incoming(transport, limits.head_bytes, limits.head_s)
        self._life = trio.CancelScope()
        self._endless = trio.CancelScope()
        self._relay: Relay | None = None
        self._watched = False
        self._idle = True
        self._age = 0
        self._closing = False
        self._head_sent = False
        self._chunked = True

    async def serve(self) -> None:
        """Answer requests until either side ends. The caller closes the connection."""
        self._hang_ups.watch(self._transport.socket, self._life.cancel)
        self._watched = True
        try:
            with self._life:
                while await self._take_turn():
                    pass
            if not self._transport.is_plain:  # there, an end without close_notify is an accident
                with trio.move_on_after(_LINGER_S):
                    await self._transport.send_eof()
        except trio.BrokenResourceError:
            _log.debug("connection_broken")
        finally:
            self._unwatch()

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._hang_ups.forget(self._transport.socket)

    def wind_up(self) -> None:
        """Shut down: an idle connection ends now, an endless stream ends in good order, anything
        else ends with its reply.
        """
        self._closing = True
        self._endless.cancel()
        if self._relay is not None:
            self._relay.let_go()
        if self._is_silent():
            self._life.cancel()

    def grow_older(self) -> None:
        """End a connection that has been idle for too long. Call this every
        :attr:`Limits.age_s`.
        """
        if not self._is_silent():
            return
        if self._age > _AGES:
            self._life.cancel()
        self._age += 1

    def _is_silent(self) -> bool:
        return self._idle and not self._incoming.begun

    async def _take_turn(self) -> bool:
        """Answer one request. Returns whether another may follow."""
        correlation = fresh_correlation()
        bind_contextvars(correlation=correlation)
        self._head_sent = False
        self._age = 0
        self._idle = True
        try:
            head = await self._incoming.next_head()
            if head is None:
                return False
            self._idle = False
            self._chunked = head.version == "1.1"  # RFC 9112 section 6.1: HTTP/1.0 knows no chunks
            request = Request(
                method=head.method,
                target=head.target,
                headers=head.headers,
                body=IncomingBody(self._incoming, self._limits.body_s),
                actor=self._actor,
                correlation=correlation,
            )
            return await self._reply_to(request, keep=head.keeps_alive)
        except Refusal as refusal:
            self._idle = False
            await self._refuse(refusal, correlation)
        return False

    async def _reply_to(self, request: Request, *, keep: bool) -> bool:
        try:
            reply = await self._application(request)
            return await self._send(request, reply, keep=keep)
        except (Refusal, trio.BrokenResourceError):
            raise
        except (
            Exception
        ) as error:  # the root of a request: whatever it is, the client gets an answer
            answer = answer_error(error, request.correlation)
            if not self._head_sent:
                return await self._send(request, answer, keep=keep)
        return False

    async def _send(self, request: Request, reply: Reply, *, keep: bool) -> bool:
        match reply:
            case Answer():
                return await self._send_answer(request, reply, keep=keep)
            case Streamed():
                try:
                    return await self._send_stream(request, reply, keep=keep)
                finally:
                    if reply.release is not None:
                        reply.release()
            case Hijacked():
                await self._hand_over(request, reply)
                return False

    async def _send_answer(self, request: Request, answer: Answer, *, keep: bool) -> bool:
        keep = keep and not self._closing and await self._settled()
        with_body = has_body(request.method, answer.status)
        framed = answer.status not in (204, 304)
        head = self._heads.head(
            answer.status,
            correlation=request.correlation,
            media_type=answer.media_type,
            headers=answer.headers,
            framing=length_framing(len(answer.body)) if framed else "",
            close=not keep,
        )
        self._head_sent = True
        await self._transport.send(head + answer.body if with_body else head)
        if not keep:
            await self._linger()
        return keep

    async def _send_stream(self, request: Request, reply: Streamed, *, keep: bool) -> bool:
        keep = keep and not self._closing
        self._head_sent = True
        await self._transport.send(
            self._heads.head(
                reply.status,
                correlation=request.correlation,
                media_type=reply.media_type,
                headers=reply.headers,
                framing=CHUNKED if self._chunked else "",
                close=not keep,
            )
        )
        if not has_body(request.method, reply.status):
            return keep and await self._settled()
        with trio.CancelScope() as scope:
            if reply.endless:
                self._endless = scope
                if self._closing:
                    scope.cancel()
            await reply.produce(self._send_part)
        await self._send_end()
        return keep and not self._closing and await self._settled()

    async def _send_part(self, part: bytes) -> None:
        if part:
            await self._transport.send(chunk(part) if self._chunked else part)
            await (
                trio.lowlevel.checkpoint()
            )  # a body that is made faster than it is sent must let other tasks run

    async def _send_end(self) -> None:
        if self._chunked:
            await self._transport.send(chunk(b""))

    async def _hand_over(self, request: Request, reply: Hijacked) -> None:
        if not await self._settled():
            raise Refusal(400, "the body of a request for a raw stream must come with it")
        self._head_sent = True
        transport, unread = self._transport, self._incoming.unread()
        await send_final_head(transport, request, reply)
        if reply.websocket is not None:
            transport, unread = framed(transport, reply.websocket, unread), b""
        if transport.is_plain:
            await give_away(transport, reply, unread)
            return
        self._unwatch()  # the client is read again, which notices its hang-up
        await relay_away(transport, reply.take, unread, self._hang_ups, self._relay_begun)

    def _relay_begun(self, relay: Relay) -> None:
        self._relay = relay
        if self._closing:
            relay.let_go()

    async def _settled(self) -> bool:
        return self._incoming.body_ended or await self._incoming.settle(_SETTLE_BYTES, _SETTLE_S)

    async def _refuse(self, refusal: Refusal, correlation: str) -> None:
        """Answer what is no request, and wait a moment, so that unread input does not discard the
        answer.
        """
        if self._head_sent:
            return
        answer = error_answer(refusal.status, str(refusal))
        framing = length_framing(len(answer.body))
        head = self._heads.head(
            answer.status,
            correlation=correlation,
            media_type=answer.media_type,
            framing=framing,
            close=True,
        )
        self._head_sent = True
        await self._transport.send(head + answer.body)
        await self._linger()

    async def _linger(self) -> None:
        """Half-close, and read on for a while: RFC 9112 section 9.6."""
        await self._transport.send_eof()
        left_bytes = _LINGER_BYTES
        with trio.move_on_after(_LINGER_S):
            while left_bytes > 0 and (ignored := await self._transport.receive()):
                left_bytes -= len(ignored)
