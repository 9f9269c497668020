"""Encrypt a connection by TLS 1.2 or newer (RFC 8446), on the daemon's side; certificates name the
clients.

Theory of operation. :class:`ssl.SSLObject` turns bytes into bytes and does no I/O; what it sends is
in one buffer, what it receives in another::

    client ── SocketTransport ──▶ incoming ─┐
                                            ├ SSLObject ── receive(), send()
    client ◀─ SocketTransport ◀── outgoing ─┘

Either direction may end by itself, as Docker's client ends the input of an attached container:
``close_notify`` says that its sender is done, and what the other still sends is read on (RFC 8446
section 6.1; OpenSSL does it in TLS 1.2, too). A connection that ends without one was cut off, by an
accident or on purpose, and counts as broken.
"""

import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from engine.api.http.actors import address_of, certified
from engine.api.http.transports import RECEIVE_BYTES, SocketTransport
from engine.domain.event import Actor
from engine.errors import Unavailable

_WRITE_BYTES: Final = 64 << 10
"""How much is encrypted at a time, and held for a slow client."""
_SPOKE_HTTP: Final = (
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
)
"""The answer of Go's servers to plain HTTP, which Docker's client explains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The paths of key and certificates, as PEM."""

    certificate: Path
    key: Path
    authority: Path | None = None
    """The authority that signs clients' certificates; None admits every client."""


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return what all connections of a listener share.

    Raises:
        Unavailable: a file can't be read, or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        what = f"certificate {files.certificate} or key {files.key}"
        context.load_cert_chain(files.certificate, files.key)
        if files.authority is not None:
            what = f"CA certificate {files.authority}"
            context.load_verify_locations(files.authority)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is one
        raise Unavailable(f"could not read {what}: {error.strerror or error}") from error
    return context


class TlsTransport:
    """An encrypted connection. One task may receive while another sends."""

    is_plain: Final = False

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        """``stream`` stays its caller's to close."""
        self._under = SocketTransport(stream)
        self.socket: Final = stream.socket
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._sending = trio.Lock()

    async def handshake(self) -> None:
        """Do the handshake, before anything else.

        Raises:
            trio.BrokenResourceError: the client speaks another protocol, or is refused; it has
                its answer.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._take_more()
            except ssl.SSLError as refused:
                if refused.reason == "HTTP_REQUEST":
                    await self._under.send(_SPOKE_HTTP)
                else:
                    await self._flush()
                raise trio.BrokenResourceError from refused
            else:
                await self._flush()
                return

    def actor(self) -> Actor:
        """Return the actor that the client's certificate names."""
        return certified(self._tls.getpeercert(), address_of(self.socket))

    async def receive(self) -> bytes:
        """Return some bytes; ``b""`` if the client sends no more."""
        while True:
            try:
                return self._tls.read(RECEIVE_BYTES)
            except ssl.SSLWantReadError:
                await self._flush()  # an answer of TLS itself, such as to a new key
                await self._take_more()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as broken:
                raise trio.BrokenResourceError from broken

    async def _take_more(self) -> None:
        data = await self._under.receive()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def send(self, data: bytes) -> None:
        """Encrypt and send all bytes; at most as many are ahead of the client as the kernel
        buffers.
        """
        async with self._sending:
            for start in range(0, len(data), _WRITE_BYTES):
                try:
                    self._tls.write(data[start : start + _WRITE_BYTES])
                except ssl.SSLError as broken:
                    raise trio.BrokenResourceError from broken
                await self._under.send(self._outgoing.read())

    async def send_eof(self) -> None:
        """Send ``close_notify``, then close the socket's writing half."""
        with suppress(ssl.SSLError):  # it waits for the client's close_notify, which may never come
            self._tls.unwrap()
        await self._flush()
        async with self._sending:
            await self._under.send_eof()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            async with self._sending:
                await self._under.send(self._outgoing.read())
