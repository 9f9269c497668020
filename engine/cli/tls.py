"""Tunnel a plain socket through TLS to an engine. The rest of the client uses a plain socket; a
thread encrypts.

::

    client ── socket pair ── Tunnel ── SSLObject ── TCP ── engine

Each direction ends by itself: half-closing the plain socket sends ``close_notify``, and the rest of
the engine's answer still comes through, as in Docker's own client. Imported only for TLS: ``ssl``
takes 10 ms.
"""

import select
import socket
import ssl
import threading
from typing import Final

from engine.cli.failures import Unreachable
from engine.cli.secrecy import TlsOptions

_BLOCK_BYTES: Final = 64 << 10


def tunnel(connected: socket.socket, name: str, tls_options: TlsOptions) -> socket.socket:
    """Return a plain socket that leads through TLS; owns ``connected``.

    Raises:
        Unreachable: unusable files, or the engine's certificate is not accepted.
    """
    try:
        context = _context(tls_options)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
        _shake_hands(connected, tls, incoming, outgoing)
    except OSError as error:  # ssl.SSLError is one
        connected.close()
        raise Unreachable(f"error during connect: {error.strerror or error}") from error
    outer, inner = socket.socketpair()
    carrier = _Tunnel(connected, inner, tls, incoming, outgoing)
    threading.Thread(target=carrier.run, daemon=True).start()
    return outer


def _context(tls_options: TlsOptions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls_options.authority or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not tls_options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls_options.certificate and tls_options.key:
        context.load_cert_chain(tls_options.certificate, tls_options.key)
    return context


def _shake_hands(
    connected: socket.socket, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
) -> None:
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            connected.sendall(outgoing.read())
            received = connected.recv(_BLOCK_BYTES)
            if received:
                incoming.write(received)
            else:
                incoming.write_eof()
        else:
            connected.sendall(outgoing.read())
            return


class _Tunnel:
    """Copies bytes between both sides until both directions have ended, or one side is gone."""

    def __init__(
        self,
        engine: socket.socket,
        client: socket.socket,
        tls: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
    ) -> None:
        self._engine, self._client = engine, client
        self._tls, self._incoming, self._outgoing = tls, incoming, outgoing
        self._to_engine, self._to_client = bytearray(), bytearray()
        self._client_ended = self._engine_ended = self._end_told = False
        engine.setblocking(False)
        client.setblocking(False)

    def run(self) -> None:
        with self._engine, self._client:
            try:
                self._decrypt()  # what was received with the handshake
                while not self._done():
                    self._turn()
            except OSError:  # broken, or refused by TLS: the client sees the end
                return

    def _done(self) -> bool:
        if self._engine_ended and not self._to_client and not self._end_told:
            self._end_told = True
            self._client.shutdown(socket.SHUT_WR)
        return self._end_told and self._client_ended and not self._to_engine

    def _turn(self) -> None:
        poll = select.poll()
        engine = 0 if self._engine_ended or self._to_client else select.POLLIN
        client = 0 if self._client_ended or self._to_engine else select.POLLIN
        poll.register(self._engine, engine | (select.POLLOUT if self._to_engine else 0))
        if client or self._to_client:
            poll.register(self._client, client | (select.POLLOUT if self._to_client else 0))
        for fd, events in poll.poll():
            if fd == self._engine.fileno():
                self._serve_engine(events)
            else:
                self._serve_client(events)

    def _serve_engine(self, events: int) -> None:
        if self._to_engine and events & ~select.POLLIN:
            del self._to_engine[: self._engine.send(self._to_engine)]
        if self._engine_ended:
            if events & (select.POLLHUP | select.POLLERR):
                raise BrokenPipeError
        elif events & ~select.POLLOUT:
            received = self._engine.recv(_BLOCK_BYTES)
            if received:
                self._incoming.write(received)
            else:
                self._incoming.write_eof()
            self._decrypt()

    def _serve_client(self, events: int) -> None:
        if self._to_client and events & ~select.POLLIN:
            del self._to_client[: self._client.send(self._to_client)]
        if not self._client_ended and not self._to_engine and events & ~select.POLLOUT:
            self._encrypt(self._client.recv(_BLOCK_BYTES))

    def _encrypt(self, block: bytes) -> None:
        if block:
            self._tls.write(block)
        else:
            self._client_ended = True
            self._send_close_notify()
        self._to_engine += self._outgoing.read()

    def _send_close_notify(self) -> None:
        try:
            self._tls.unwrap()
        except ssl.SSLError:  # it would wait for the engine's close_notify
            return

    def _decrypt(self) -> None:
        while not self._engine_ended:
            try:
                block = self._tls.read(_BLOCK_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                block = b""
            self._to_client += block
            self._engine_ended = not block
        self._to_engine += self._outgoing.read()
