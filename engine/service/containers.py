"""Create, start, stop, remove and otherwise change containers."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from signal import Signals
from typing import Final

import trio
from msgspec.structs import replace

from engine.domain.container.audit_events import ProcessesListed, Resized
from engine.domain.container.decisions import (
    AlreadyRunning,
    NotRunning,
    decide_pause,
    decide_remove,
    decide_rename,
    decide_signal,
    decide_stop,
    decide_unpause,
    still_restarting,
)
from engine.domain.container.detach_keys import parse_detach_keys
from engine.domain.container.endpoints import with_networks
from engine.domain.container.events import AttachOpened, Created
from engine.domain.container.namespace_sharing import HOST, namespace_owner
from engine.domain.container.phases import NAMELESS, Phase
from engine.domain.container.resource_rules import accepted
from engine.domain.container.resources import Machine
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.event import Event, Origin
from engine.domain.ids import SHORT, ContainerId
from engine.domain.streams import container_stream
from engine.errors import Conflict, DriverError, EngineError, InvalidRequest, Kind, NotModified
from engine.ports.host import Host, ProcessTable
from engine.ports.streams import Client, LogOptions, StreamOptions, Streams
from engine.queries.waiting import Changes
from engine.service.names import checked_name, fresh_name
from engine.store.container_index import NameInUse
from engine.store.ledger import Ledger
from engine.supervisor.health import HealthChecks
from engine.supervisor.starts import Starts

BIND_CHECK_S: Final = 30.0
"""How long a bind's source may take to be looked up when a container is created."""


class WaitCondition(StrEnum):
    """What ``POST /containers/{id}/wait`` waits for."""

    NOT_RUNNING = "not-running"
    NEXT_EXIT = "next-exit"
    REMOVED = "removed"


class StartRefused(EngineError):
    """The container was to start and did not; the message is what Docker's clients show."""

    kind = Kind.INVALID


class RestartRefused(StartRefused):
    """The second half of a restart was refused before it was tried: Docker says so with 500."""

    kind = Kind.INTERNAL


class RemovalFailed(EngineError):
    """Something of the container can't be removed yet."""

    kind = Kind.INTERNAL


@dataclass(frozen=True, slots=True)
class Waiting:
    """A wait that has been accepted: what it is for exists, or will."""

    changes: Changes
    container: Container
    condition: WaitCondition

    async def result(self) -> tuple[int, str]:
        """The exit code, and the error of a start that failed."""
        await self.changes.until(self.container.id, self._is_over)
        last = self.changes.last(self.container.id) or self.container
        return last.exit_code, last.error

    def _is_over(self, state: Container | None) -> bool:
        if state is None:
            return True
        match self.condition:
            case WaitCondition.NOT_RUNNING:
                return _has_ended(state)
            case WaitCondition.NEXT_EXIT:  # a start that fails is none, and the next may not
                return state.exits > self.container.exits
            case WaitCondition.REMOVED:
                return state.phase is Phase.DEAD


def _has_or_gets_process(state: Container) -> bool:
    return state.is_running or state.phase in (Phase.STARTING, Phase.RESTARTING)


def _has_ended(state: Container | None) -> bool:
    return state is None or not _has_or_gets_process(state)


def _run_has_ended(state: Container, run: int) -> bool:
    if state.phase in (Phase.REMOVED, Phase.DEAD):
        return True
    return state.run > run or (
        state.run == run and not _has_or_gets_process(state) and state.process is None
    )


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attach that the log knows of; the client's connection is still to come."""

    ledger: Ledger
    streams: Streams
    container: Container
    attach: str
    options: StreamOptions

    async def connect(self, client: Client, past: LogOptions | None = None) -> None:
        """Hand the client's connection over, once its HTTP head has been answered; too late, it is
        closed.

        With ``past`` it is told that part of the log first.
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
        """The container as it is now, unless the run that was meant is over."""
        now = self.ledger.durable.containers.get(self.container.id)
        if now is None or (self.container.is_running and _run_has_ended(now, self.container.run)):
            return None
        return now


class Containers:
    """What can be asked of containers. References are names, IDs, or unique beginnings of IDs."""

    def __init__(
        self,
        ledger: Ledger,
        starts: Starts,
        health: HealthChecks,
        streams: Streams,
        host: Host,
        changes: Changes,
        machine: Machine,
    ) -> None:
        self._ledger = ledger
        self._starts = starts
        self._health = health
        self._streams = streams
        self._host = host
        self._changes = changes
        self._machine = machine

    def all(self) -> tuple[Container, ...]:
        """Every container, newest first."""
        containers = self._ledger.durable.containers.values()
        return tuple(sorted(containers, key=lambda each: each.created_ns, reverse=True))

    def get(self, reference: str) -> Container:
        """One container as it is durably known.

        Raises:
            NoSuchContainer: there is none.
        """
        return self._ledger.durable.container(reference)

    def inspect(self, reference: str) -> Container:
        """One container, with what its health check has found out since the last change of status.

        Raises:
            NoSuchContainer: there is none.
        """
        return self._health.current(self.get(reference))

    async def create(
        self, name: str | None, spec: Spec, origin: Origin
    ) -> tuple[ContainerId, tuple[str, ...]]:
        """Define a container; nothing is made for it before it starts.

        Returns:
            Its ID, and Docker's warnings about limits that this machine can't keep.

        Raises:
            NameInUse, InvalidRequest: for the name, a limit, or what is to be bound and is not
                there.
        """
        resources, warnings = accepted(spec.resources, self._machine)
        spec = replace(spec, resources=resources)
        await _check_bind_sources(spec)
        identity = ContainerId(secrets.token_hex(32))
        if name:
            chosen = checked_name(name)
            self._ledger.head.check_name_free(chosen)
        else:
            chosen = fresh_name(self._is_free)
        if not spec.hostname:
            spec = replace(spec, hostname=self._hostname(spec, identity))
        created = Created(id=identity, name=chosen, spec=with_networks(self._ledger.head, spec))
        await self._ledger.record(origin, (container_stream(identity), (created,)))
        return identity, warnings

    async def start(self, reference: str, origin: Origin) -> None:
        """Start it, and return when its process executes the program.

        Raises:
            AlreadyRunning, InvalidTransition: it can't be started from where it is.
            StartRefused: it can't be started at all; the message says why.
        """
        container = self._ledger.head.container(reference)
        if container.phase is Phase.RESTARTING:
            raise AlreadyRunning(f"Container {container.id} is already running")
        await self._start(container, origin)

    async def _start(self, container: Container, origin: Origin, *, restart: bool = False) -> None:
        try:
            requested, *more = self._starts.decide(self._ledger.head, container)
        except EngineError:
            await self._remove_unstartable(container, origin)
            raise
        if restart:
            requested = replace(requested, restart=True)
        await self._record(container, (requested, *more), origin)
        try:
            await self._started(container.id, container.run + 1)
        except StartRefused:
            self._streams.forget(container.id)
            raise

    async def _remove_unstartable(self, container: Container, origin: Origin) -> None:
        """What was to be removed after its run will have none: whoever waits for the removal must
        not wait for ever.
        """
        if container.phase is Phase.CREATED and container.spec.auto_remove:
            events = decide_remove(container, force=False, volumes=False)
            await self._record(container, events, origin, essential=True)

    async def _started(self, identity: ContainerId, run: int) -> None:
        def settled(state: Container | None) -> bool:
            return (
                state is None
                or state.run > run
                or (state.run == run and state.phase is not Phase.STARTING)
            )

        await self._changes.until(identity, settled)
        last = self._changes.last(identity)
        if last is None or (last.run == run and last.error):
            raise StartRefused(last.error if last else "the container was removed while it started")

    async def stop(
        self, reference: str, origin: Origin, *, signal: int | None, timeout_s: int | None
    ) -> None:
        """End it, by a signal and after the grace by SIGKILL, and return when it has ended.

        Raises:
            AlreadyStopped: there was nothing to end.
        """
        container = self._ledger.head.container(reference)
        boot_ns = self._ledger.clock.boot_ns()
        events = decide_stop(container, signal=signal, timeout_s=timeout_s, boot_ns=boot_ns)
        await self._record(container, events, origin, essential=True)
        await self._ended(container)

    async def restart(
        self, reference: str, origin: Origin, *, signal: int | None, timeout_s: int | None
    ) -> None:
        """Stop it if it runs, and start it; return when the new process executes the program."""
        container = self._ledger.head.container(reference)
        try:
            events = decide_stop(
                container,
                signal=signal,
                timeout_s=timeout_s,
                boot_ns=self._ledger.clock.boot_ns(),
                then_start=True,
            )
        except NotModified:
            await self._start_stopped(reference, container, origin)
            return
        await self._record(container, events, origin)
        await self._started(container.id, container.run + 1)

    async def _start_stopped(self, reference: str, container: Container, origin: Origin) -> None:
        try:
            await self._start(container, origin, restart=True)
        except Conflict as conflict:
            raise RestartRefused(f"Cannot restart container {reference}: {conflict}") from conflict

    async def kill(self, reference: str, origin: Origin, *, signal: int) -> None:
        """Send a signal, and return when it has been sent; for SIGKILL when the container has
        ended.

        Raises:
            NotRunning: there is no process.
        """
        container = self._ledger.head.container(reference)
        events = decide_signal(container, signal, self._ledger.clock.boot_ns())
        await self._record(container, events, origin, essential=True)
        if signal == Signals.SIGKILL:
            await self._ended(container)
        else:
            await self._orders_done(container, len(events))

    async def pause(self, reference: str, origin: Origin) -> None:
        """Freeze all its processes, and return when they are."""
        container = self._ledger.head.container(reference)
        await self._record(container, decide_pause(container), origin)
        await self._orders_done(container, 1)

    async def unpause(self, reference: str, origin: Origin) -> None:
        """Let its processes go on, and return when they do."""
        container = self._ledger.head.container(reference)
        await self._record(container, decide_unpause(container), origin)
        await self._orders_done(container, 1)

    async def rename(self, reference: str, name: str, origin: Origin) -> None:
        """Give it another name.

        Raises:
            NameInUse, InvalidRequest: for the name.
        """
        container = self._ledger.head.container(reference)
        if not name:
            raise InvalidRequest("Neither old nor new names may be empty")
        chosen = self._check_rename(container, name)
        await self._record(container, decide_rename(container, chosen), origin)

    def _check_rename(self, container: Container, name: str) -> str:
        if name.removeprefix("/") == container.name:
            raise InvalidRequest("Renaming a container with the same name as its current name")
        try:
            chosen = checked_name(f"/{name.removeprefix('/')}")
            self._ledger.head.check_name_free(chosen)
        except (NameInUse, InvalidRequest) as error:
            raise type(error)(f"Error when allocating new name: {error}") from error
        if container.phase in NAMELESS:
            raise Conflict("container is marked for removal and cannot be renamed")
        return chosen

    async def remove(self, reference: str, origin: Origin, *, force: bool, volumes: bool) -> None:
        """Remove it, and return when nothing is left of it.

        Raises:
            RunningNotRemovable: without ``force``.
            RemovalFailed: something holds it; the engine goes on trying.
        """
        container = self._ledger.head.container(reference)
        if container.phase is Phase.DEAD and not container.is_unreadable:
            await self._removed(container.id)
            return
        events = decide_remove(container, force=force, volumes=volumes)
        await self._record(container, events, origin, essential=True)
        await self._removed(container.id)

    async def _removed(self, identity: ContainerId) -> None:
        self._streams.forget(identity)
        await self._changes.until(
            identity, lambda state: state is None or state.phase is Phase.DEAD
        )
        if state := self._ledger.durable.containers.get(identity):
            raise RemovalFailed(f"container {identity}: driver failed to remove: {state.error}")

    def waiting(self, reference: str, condition: WaitCondition) -> Waiting:
        """Accept a wait.

        Raises:
            NoSuchContainer: there is nothing to wait for.
        """
        return Waiting(self._changes, self.get(reference), condition)

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
        return Attachment(self._ledger, self._streams, self.get(container.id), attach, options)

    def check_attachable(self, reference: str) -> Container:
        """Refuse what an attach would refuse, also on behalf of one that wants no streams.

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
        """Its output, in blocks that can be sent as they are; with ``follow`` until it has
        ended.
        """
        container = self.get(reference)
        with self._changes.event(container.id, _has_ended) as ended:
            output = self._streams.logs(container, options, ended if options.follow else None)
            async with aclosing(output):
                async for block in output:
                    yield block

    async def resize(self, reference: str, origin: Origin, *, height: int, width: int) -> None:
        """Tell its terminal its size; without a terminal that is no error, for clients don't always
        know.

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

    def _running(self, reference: str) -> Container:
        container = self.get(reference)
        if not container.is_running:
            raise NotRunning(f"container {container.id} is not running")
        return container

    async def processes(self, reference: str, ps_arguments: str, origin: Origin) -> ProcessTable:
        """What ps(1) on the host says of everything that runs in it: whoever asks is remembered.

        Raises:
            NotRunning: nothing does.
            InvalidRequest: ps does not know the arguments, or must not see them.
        """
        container = self.get(reference)
        if container.phase is Phase.RESTARTING:
            raise still_restarting(container)
        pids = await self._streams.processes(self._running(reference))
        self._ledger.submit(origin, container_stream(container.id), ProcessesListed())
        return await self._host.processes(ps_arguments, pids)

    async def _ended(self, container: Container) -> None:
        await self._changes.until(
            container.id, lambda state: state is None or _run_has_ended(state, container.run)
        )

    async def _orders_done(self, container: Container, count: int) -> None:
        numbers = range(container.orders_given + 1, container.orders_given + 1 + count)

        def done(state: Container | None) -> bool:
            return state is None or not any(order.number in numbers for order in state.orders)

        await self._changes.until(container.id, done)

    async def _record(
        self,
        container: Container,
        events: tuple[Event, ...],
        origin: Origin,
        *,
        essential: bool = False,
    ) -> None:
        stream = container_stream(container.id)
        await self._ledger.record(origin, (stream, events), essential=essential)

    def _hostname(self, spec: Spec, identity: ContainerId) -> str:
        """Who shares a network is known by its owner's name, the machine's or a container's; others
        by the beginning of the ID.
        """
        if spec.network_mode == HOST:
            return self._host.name()
        owner = self._ledger.head.containers.get(namespace_owner(spec.network_mode) or identity)
        return owner.spec.hostname if owner is not None else identity[:SHORT]

    def _is_free(self, name: str) -> bool:
        try:
            self._ledger.head.check_name_free(name)
        except NameInUse:
            return False
        return True


async def _exists(source: str) -> bool:
    """Look for a bind's source, on a thread of its own: its file system may not answer.

    Raises:
        DriverError: it doesn't, in time.
    """
    look = Path(source).exists
    with trio.move_on_after(BIND_CHECK_S):
        return await trio.to_thread.run_sync(
            look, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
        )
    raise DriverError(f"the file system of bind source {source} doesn't answer")


async def _check_bind_sources(spec: Spec) -> None:
    for bind in spec.binds:
        if not bind.create_source and not await _exists(bind.source):
            raise InvalidRequest(
                'invalid mount config for type "bind": bind source path does not exist: '
                f"{bind.source}"
            )
