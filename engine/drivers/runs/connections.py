"""Pass clients' connections to monitors, and keep those that wait for a start.

A connection is handed over as a descriptor; from then on no byte of it passes through the daemon,
which may die.
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
    """Owns each socket from when the API lets go of it until a monitor has a copy."""

    def __init__(self, monitors: Monitors) -> None:
        self._monitors = monitors
        self._attaching: dict[ContainerId, list[_Waiting]] = {}
        self._executing: dict[ExecId, tuple[StreamOptions, Client | None]] = {}

    async def attach(
        self, container: Container, attach: str, options: StreamOptions, client: Client
    ) -> None:
        """Connect a client to a container, at once or, when it does not run yet, as it starts.

        Raises:
            DriverError: its monitor does not take it; the connection is closed.
        """
        attachment = _attachment(attach, options, client, tty=container.spec.tty)
        if not container.is_running:
            self._attaching.setdefault(container.id, []).append((attachment, client.connection))
            return
        with client.connection:
            await self._monitors.attach(container.id, attachment, client.connection)

    async def attach_at_gate(
        self,
        container: Container,
        attach: str,
        options: StreamOptions,
        client: Client,
        gate_fd: int,
    ) -> None:
        """Connect a client to a container that runs, and have it wait; the connection stays ours to
        close.

        Raises:
            DriverError: its monitor does not take it.
        """
        attachment = _attachment(attach, options, client, tty=container.spec.tty)
        await self._monitors.attach(container.id, attachment, client.connection, gate_fd)

    @contextlib.contextmanager
    def attaching(self, container: ContainerId) -> Iterator[list[_Waiting]]:
        """Those that wait for a container to start; afterwards they are its monitor's."""
        waiting = self._attaching.pop(container, [])
        try:
            yield waiting
        finally:
            for _, connection in waiting:
                connection.close()

    def offer_exec(self, execution: ExecId, options: StreamOptions, client: Client | None) -> None:
        """Keep what a client wants of an exec, and its connection, until the exec is started."""
        self._executing[execution] = (options, client)

    def withdraw_exec(self, execution: ExecId) -> None:
        """Close the connection of an exec that will not be started; one that was handed over is not
        ours any more.
        """
        with self.executing(execution, tty=False):
            pass

    @contextlib.contextmanager
    def executing(
        self, execution: ExecId, *, tty: bool
    ) -> Iterator[tuple[Attachment, socket.socket | None]]:
        """What was offered for an exec; after a restart of the daemon nothing was, and it runs
        without a client.
        """
        options, client = self._executing.pop(execution, (StreamOptions(), None))
        if client is None:
            yield Attachment(attach_id=execution), None
            return
        with client.connection:
            yield _attachment(execution, options, client, tty=tty), client.connection

    def forget(self, container: ContainerId) -> None:
        """Close those that wait for a start which will not come."""
        with self.attaching(container):
            pass

    def close(self) -> None:
        """Close whatever still waits."""
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
