"""Pass clients' connections to monitors, and keep those that wait for a start.

A connection is handed over as a descriptor; after that no byte of it passes through the daemon, so
it outlives the daemon.
"""

import contextlib
import socket
from collections.abc import Iterator

from engine.domain.container.detach_keys import parse_detach_keys
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ExecId
from engine.drivers.runs.monitors import Monitors
from engine.ports.streams import Client, StreamOptions
from engine.runtime.messages import Attachment

_Waiting = tuple[Attachment, socket.socket]


class Connections:
    """Owns each socket from the API's hand-over until a monitor has a copy."""

    def __init__(self, monitors: Monitors) -> None:
        self._monitors = monitors
        self._attaching: dict[ContainerId, list[_Waiting]] = {}
        self._executing: dict[ExecId, tuple[StreamOptions, Client | None]] = {}

    async def attach(
        self, container: Container, attach: str, options: StreamOptions, client: Client
    ) -> None:
        """Connect a client to a container, at once or, if it does not run yet, when it starts.

        Raises:
            DriverError: its monitor does not take it; the connection is closed.
        """
        attachment = _attachment(attach, options, client, tty=container.spec.tty)
        if not container.is_running:
            self._attaching.setdefault(container.id, []).append((attachment, client.connection))
            return
        with client.connection:
            await self._monitors.attach(container.id, attachment, client.connection)

    async def attach_behind_barrier(
        self,
        container: Container,
        attach: str,
        options: StreamOptions,
        client: Client,
        barrier_fd: int,
    ) -> None:
        """Connect a client to a running container, behind a replay barrier. The caller still closes
        the connection.

        Raises:
            DriverError: its monitor does not take it.
        """
        attachment = _attachment(attach, options, client, tty=container.spec.tty)
        await self._monitors.attach(container.id, attachment, client.connection, barrier_fd)

    @contextlib.contextmanager
    def attaching(self, container: ContainerId) -> Iterator[list[_Waiting]]:
        """Yield the clients that wait for a container's start; they are closed afterwards, when its
        monitor has copies.
        """
        waiting = self._attaching.pop(container, [])
        try:
            yield waiting
        finally:
            for _, connection in waiting:
                connection.close()

    def offer_exec(self, execution: ExecId, options: StreamOptions, client: Client | None) -> None:
        """Keep a client's stream options and connection until its exec is started."""
        self._executing[execution] = (options, client)

    def withdraw_exec(self, execution: ExecId) -> None:
        """Close the connection of an exec that will not be started. One that was handed over is not
        closed.
        """
        with self.executing(execution, tty=False):
            pass

    @contextlib.contextmanager
    def executing(
        self, execution: ExecId, *, tty: bool
    ) -> Iterator[tuple[Attachment, socket.socket | None]]:
        """Yield what was offered for an exec. After a restart of the daemon that is nothing, and
        the exec runs without a client.
        """
        options, client = self._executing.pop(execution, (StreamOptions(), None))
        if client is None:
            yield Attachment(attach_id=execution), None
            return
        with client.connection:
            yield _attachment(execution, options, client, tty=tty), client.connection

    def forget(self, container: ContainerId) -> None:
        """Close the connections that wait for a start which will not come."""
        with self.attaching(container):
            pass

    def close(self) -> None:
        """Close all connections that still wait."""
        for container in tuple(self._attaching):
            self.forget(container)
        for _, client in self._executing.values():
            if client is not None:
                client.connection.close()


def _attachment(attach: str, options: StreamOptions, client: Client, *, tty: bool) -> Attachment:
    return Attachment(
        attach_id=attach,
        stdin=options.stdin,
        stdout=options.stdout,
        stderr=options.stderr,
        detach_keys=parse_detach_keys(options.detach_keys) if tty else b"",
        unread=client.unread,
        raw=options.raw,
    )
