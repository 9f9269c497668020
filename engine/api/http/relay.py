"""Copy a hijacked connection's bytes between a client and the owner of the streams, if they must be
translated.

A monitor takes a plain socket and is rid of the daemon; a client that speaks TLS or WebSocket has
the daemon in between::

    client ══ Transport ══▶ upload   ──▶ ╮
              (TLS, …)                   socket pair ── monitor
    client ══ Transport ◀══ download ◀── ╯

Each direction buffers one block, and a side that does not read makes the other side wait, as
without a relay. The end of the client's input is passed on, and its output goes on. Once the
monitor has closed its end, the client gets what is left, with the timeout that monitors have
themselves; when a client breaks off, the monitor's end is closed at once. Relays end with the
daemon; containers go on.
"""

import socket
from contextlib import suppress
from typing import Final

import trio

from engine.api.http.hangups import HangUps
from engine.api.http.transports import RECEIVE_BYTES, Transport

PATIENCE_S: Final = 10.0
"""How long a client may take to receive what is left."""
_GOODBYE_S: Final = 1.0
"""How long to wait for the client's own end: unread input would discard the last bytes sent to
it."""


class Relay:
    """Copies between a client and one end of a socket pair."""

    def __init__(self, client: Transport, process: socket.socket, hang_ups: HangUps) -> None:
        """Owns ``process``, which does not block; the client stays its caller's to close."""
        self._client = client
        self._process = trio.SocketStream(trio.socket.from_stdlib_socket(process))
        self._hang_ups = hang_ups
        self._scope = trio.CancelScope()

    def let_go(self) -> None:
        """End the relay, closing the client's side in good order."""
        self._scope.cancel()

    async def run(self) -> None:
        """Copy until both sides have ended, or one has broken off."""
        inner = self._process.socket
        self._hang_ups.watch(inner, self._monitor_gone)
        try:
            with self._scope:
                async with trio.open_nursery() as directions:
                    directions.start_soon(self._upload)
                    await self._download()
                    directions.cancel_scope.deadline = trio.current_time() + _GOODBYE_S
            if self._scope.cancelled_caught:
                with (
                    trio.move_on_after(_GOODBYE_S, shield=True),
                    suppress(trio.BrokenResourceError),
                ):
                    await self._client.send_eof()
        finally:
            self._hang_ups.forget(inner)
            inner.close()

    def _monitor_gone(self) -> None:
        self._scope.deadline = trio.current_time() + PATIENCE_S

    async def _upload(self) -> None:
        """Copy from the client. Once the monitor takes no more input, read on and discard: it is
        not the client's fault.
        """
        try:
            while data := await self._client.receive():
                with suppress(trio.BrokenResourceError):
                    await self._process.send_all(data)
        except trio.BrokenResourceError:
            self._scope.cancel()
        else:
            with suppress(trio.BrokenResourceError):
                await self._process.send_eof()

    async def _download(self) -> None:
        try:
            while data := await self._from_monitor():
                await self._client.send(data)
            await self._client.send_eof()
        except trio.BrokenResourceError:
            self._scope.cancel()

    async def _from_monitor(self) -> bytes:
        try:
            return bytes(await self._process.receive_some(RECEIVE_BYTES))
        except trio.BrokenResourceError:  # it has closed without reading all of the input
            return b""
