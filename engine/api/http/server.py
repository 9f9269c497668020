"""Accept connections, serve them, and end them in order."""

import ssl
from collections.abc import Sequence
from functools import partial
from typing import Final

import structlog
import trio

from engine.api.http.actors import address_of, peer_of
from engine.api.http.hangups import HangUps
from engine.api.http.http11 import Application, Connection, Limits
from engine.api.http.outgoing import Heads
from engine.api.http.sockets import Entrance, keep_alive
from engine.api.http.transports import SocketTransport, Transport
from engine.domain.event import Actor

DRAIN_S: Final = 10.0
"""How long requests may go on after the daemon was asked to stop."""

_log = structlog.get_logger(__name__)


class Server:
    """Serves an application on listeners."""

    def __init__(
        self, application: Application, *, product: str = "Shipslog", limits: Limits | None = None
    ) -> None:
        self._application = application
        self._heads = Heads(product)
        self._limits = limits or Limits()
        self._connections: set[Connection] = set()
        self._occupied = trio.Event()
        self._stop_asked = trio.Event()

    def stop(self) -> None:
        """Accept no more connections; idle ones and endless streams end, requests have ``DRAIN_S``
        to finish.
        """
        self._stop_asked.set()
        for connection in tuple(self._connections):
            connection.wind_up()

    async def serve(
        self,
        entrances: Sequence[Entrance],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until :meth:`stop`, and a little longer.

        nurseries: hang_ups ⊃ requests ⊃ intake; each ends before the one around it.
        """
        watch = HangUps()
        async with trio.open_nursery() as hang_ups:
            hang_ups.start_soon(watch.run)
            hang_ups.start_soon(self._let_age)
            async with trio.open_nursery() as requests:
                async with trio.open_nursery() as intake:
                    for entrance in entrances:
                        welcome = partial(self._welcome, watch, entrance.tls)
                        intake.start_soon(
                            partial(
                                trio.serve_listeners,
                                welcome,
                                [entrance.listener],
                                handler_nursery=requests,
                            )
                        )
                    task_status.started()
                    await self._stop_asked.wait()
                    intake.cancel_scope.cancel()
                requests.cancel_scope.deadline = trio.current_time() + DRAIN_S
            hang_ups.cancel_scope.cancel()

    async def _let_age(self) -> None:
        """End connections that are silent for too long. Sleeps while there are none."""
        while True:
            await self._occupied.wait()
            await trio.sleep(self._limits.age_s)
            for connection in tuple(self._connections):
                connection.grow_older()
            if not self._connections:
                self._occupied = trio.Event()

    async def _welcome(
        self, watch: HangUps, tls: ssl.SSLContext | None, stream: trio.SocketStream
    ) -> None:
        try:
            keep_alive(stream.socket)
            if tls is None:
                await self._converse(watch, SocketTransport(stream), peer_of(stream.socket))
            else:
                await self._converse_in_secret(watch, tls, stream)
        except OSError as vanished:
            _log.debug("peer_unknown", error=str(vanished))

    async def _converse_in_secret(
        self, watch: HangUps, tls: ssl.SSLContext, stream: trio.SocketStream
    ) -> None:
        from engine.api.http.tls import TlsTransport

        transport = TlsTransport(stream, tls)
        try:
            with trio.fail_after(self._limits.head_s):
                await transport.handshake()
        except (trio.BrokenResourceError, trio.TooSlowError) as refused:
            address = address_of(stream.socket)
            _log.warning("tls_refused", address=address, error=str(refused.__cause__ or refused))
            return
        await self._converse(watch, transport, transport.actor())

    async def _converse(self, watch: HangUps, transport: Transport, actor: Actor) -> None:
        connection = Connection(
            transport, self._application, actor, self._heads, self._limits, watch
        )
        self._connections.add(connection)
        self._occupied.set()
        try:
            if self._stop_asked.is_set():
                connection.wind_up()
            await connection.serve()
        finally:
            self._connections.discard(connection)
