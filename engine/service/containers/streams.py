"""Attach to containers, read their logs, resize their terminals and list their processes."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from engine.domain.container.audit_events import ProcessesListed, Resized
from engine.domain.container.decisions import NotRunning, still_restarting
from engine.domain.container.detach_keys import parse_detach_keys
from engine.domain.container.events import AttachOpened
from engine.domain.container.phases import NAMELESS, Phase
from engine.domain.container.state import Container
from engine.domain.event import Origin
from engine.domain.streams import container_stream
from engine.errors import Conflict, DriverError
from engine.ports.host import Host, ProcessTable
from engine.ports.streams import Client, LogOptions, StreamOptions, Streams
from engine.queries.waiting import Changes
from engine.service.containers.waits import has_ended, run_has_ended
from engine.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attach that is recorded, and whose connection is still to come."""

    ledger: Ledger
    streams: Streams
    container: Container
    attach: str
    options: StreamOptions

    async def connect(self, client: Client, past: LogOptions | None = None) -> None:
        """Connect a client whose HTTP head has been answered; close the connection if it is late.

        With ``past`` the client gets that part of the log first.
        """
        now = self._attachable()
        if past is not None:
            await self.streams.attach_after_log(
                self.container, self._attachable, self.attach, self.options, client, past
            )
        elif now is not None:
            await self.streams.attach(now, self.attach, self.options, client)
        else:
            client.connection.close()

    def _attachable(self) -> Container | None:
        """Return the container as it is now, or None if the run that was meant is over."""
        now = self.ledger.durable.containers.get(self.container.id)
        if now is None or (self.container.is_running and run_has_ended(now, self.container.run)):
            return None
        return now


class ContainerStreams:
    """Connects clients with what runs in containers.

    References are names, IDs, or unique beginnings of IDs.
    """

    def __init__(self, ledger: Ledger, streams: Streams, host: Host, changes: Changes) -> None:
        self._ledger = ledger
        self._streams = streams
        self._host = host
        self._changes = changes

    async def attach(self, reference: str, options: StreamOptions, origin: Origin) -> Attachment:
        """Accept an attach; its connection follows when the client has been answered.

        Raises:
            Conflict: the container is paused or being removed.
        """
        parse_detach_keys(options.detach_keys)  # refuse before the connection is taken over
        container = self.check_attachable(reference)
        attach = secrets.token_hex(8)
        opened = AttachOpened(attach=attach, stdin=options.stdin)
        self._ledger.submit(origin, container_stream(container.id), opened)
        now = self._ledger.durable.container(container.id)
        return Attachment(self._ledger, self._streams, now, attach, options)

    def check_attachable(self, reference: str) -> Container:
        """Refuse what an attach would refuse, also for a client that asks for no streams.

        Raises:
            NoSuchContainer, Conflict: there is nothing to connect to.
        """
        container = self._ledger.head.container(reference)
        if container.phase is Phase.PAUSED:
            raise Conflict(f"container {reference} is paused, unpause the container before attach")
        if container.phase is Phase.RESTARTING:
            raise Conflict(
                f"container {reference} is restarting, wait until the container is running"
            )
        if container.phase in NAMELESS:
            raise Conflict(f"container {reference} is marked for removal")
        return container

    async def logs(self, reference: str, options: LogOptions) -> AsyncGenerator[bytes, None]:
        """Yield a container's output in blocks ready to be sent; with ``follow`` until it ends."""
        container = self._ledger.durable.container(reference)
        with self._changes.event(container.id, has_ended) as ended:
            output = self._streams.logs(container, options, ended if options.follow else None)
            async with aclosing(output):
                async for block in output:
                    yield block

    async def resize(self, reference: str, origin: Origin, *, height: int, width: int) -> None:
        """Set the size of a container's terminal. Without a terminal that is no error: clients
        don't always know.

        Raises:
            NotRunning: there is no process.
        """
        container = self._running(reference)
        try:
            if container.spec.tty:
                await self._streams.resize(container, None, height=height, width=width)
        except DriverError:
            self._running(container.id)  # it may have ended meanwhile
            raise
        resized = Resized(height=height, width=width)
        self._ledger.submit(origin, container_stream(container.id), resized)

    async def processes(self, reference: str, ps_arguments: str, origin: Origin) -> ProcessTable:
        """Return what ps(1) on the host says of a container's processes, and record who asked.

        Raises:
            NotRunning: there are none.
            InvalidRequest: ps does not know the arguments, or must not see them.
        """
        container = self._ledger.durable.container(reference)
        if container.phase is Phase.RESTARTING:
            raise still_restarting(container)
        pids = await self._streams.processes(self._running(reference))
        self._ledger.submit(origin, container_stream(container.id), ProcessesListed())
        return await self._host.processes(ps_arguments, pids)

    def _running(self, reference: str) -> Container:
        container = self._ledger.durable.container(reference)
        if not container.is_running:
            raise NotRunning(f"container {container.id} is not running")
        return container
