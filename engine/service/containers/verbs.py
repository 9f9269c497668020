"""Create, start, stop, rename and remove containers.

Each verb decides on the head view, records the events, and waits until the log has the outcome.
"""

from signal import Signals

from msgspec.structs import replace

from engine.domain.container.decisions import (
    AlreadyRunning,
    decide_pause,
    decide_remove,
    decide_rename,
    decide_signal,
    decide_stop,
    decide_unpause,
)
from engine.domain.container.phases import NAMELESS, Phase
from engine.domain.container.resources import Machine
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.event import Event, Origin
from engine.domain.ids import ContainerId
from engine.domain.streams import container_stream
from engine.errors import Conflict, EngineError, InvalidRequest, Kind, NotModified
from engine.ports.host import Host
from engine.ports.streams import Streams
from engine.queries.waiting import Changes
from engine.service.containers.creation import decide_create
from engine.service.containers.names import checked_name
from engine.service.containers.waits import (
    StartRefused,
    WaitCondition,
    Waiting,
    until_done,
    until_ended,
    until_removed,
    until_started,
)
from engine.store.container_index import NameInUse
from engine.store.ledger import Ledger
from engine.supervisor.health import HealthChecks
from engine.supervisor.starts import Starts


class RestartRefused(StartRefused):
    """The second half of a restart was refused before anything was started."""

    kind = Kind.INTERNAL


class Containers:
    """Lists containers and carries out the verbs. References are names, IDs, or unique beginnings
    of IDs.
    """

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
        """Return every container, newest first."""
        containers = self._ledger.durable.containers.values()
        return tuple(sorted(containers, key=lambda each: each.created_ns, reverse=True))

    def get(self, reference: str) -> Container:
        """Return one container as it is durably known.

        Raises:
            NoSuchContainer: there is none.
        """
        return self._ledger.durable.container(reference)

    def inspect(self, reference: str) -> Container:
        """Return one container with the results of its health check since its last event.

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
            NameInUse, InvalidRequest: see ``decide_create``.
        """
        head = self._ledger.head
        created, warnings = await decide_create(head, name, spec, self._machine, self._host)
        await self._ledger.record(origin, (container_stream(created.id), (created,)))
        return created.id, warnings

    async def start(self, reference: str, origin: Origin) -> None:
        """Start a container, and return when its process executes the program.

        Raises:
            AlreadyRunning, InvalidTransition: it can't be started from where it is.
            StartRefused: it can't be started at all; the message says why.
        """
        container = self._ledger.head.container(reference)
        if container.phase is Phase.RESTARTING:
            raise AlreadyRunning(f"Container {container.id} is already running")
        await self._start(container, origin)

    async def stop(
        self, reference: str, origin: Origin, *, signal: int | None, timeout_s: int | None
    ) -> None:
        """End a container by a signal, after the timeout by SIGKILL, and return when it has ended.

        Raises:
            AlreadyStopped: there was nothing to end.
        """
        container = self._ledger.head.container(reference)
        boot_ns = self._ledger.clock.boot_ns()
        events = decide_stop(container, signal=signal, timeout_s=timeout_s, boot_ns=boot_ns)
        await self._record(container, events, origin, essential=True)
        await until_ended(self._changes, container)

    async def restart(
        self, reference: str, origin: Origin, *, signal: int | None, timeout_s: int | None
    ) -> None:
        """Stop a container if it runs, start it, and return when its process executes the
        program.
        """
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
        await until_started(self._changes, container.id, container.run + 1)

    async def kill(self, reference: str, origin: Origin, *, signal: int) -> None:
        """Send a signal, and return when it has been sent, or after SIGKILL when the container has
        ended.

        Raises:
            NotRunning: there is no process.
        """
        container = self._ledger.head.container(reference)
        events = decide_signal(container, signal, self._ledger.clock.boot_ns())
        await self._record(container, events, origin, essential=True)
        if signal == Signals.SIGKILL:
            await until_ended(self._changes, container)
        else:
            await self._orders_done(container, len(events))

    async def pause(self, reference: str, origin: Origin) -> None:
        """Freeze all processes of a container, and return when they are frozen."""
        container = self._ledger.head.container(reference)
        await self._record(container, decide_pause(container), origin)
        await self._orders_done(container, 1)

    async def unpause(self, reference: str, origin: Origin) -> None:
        """Thaw all processes of a container, and return when they are thawed."""
        container = self._ledger.head.container(reference)
        await self._record(container, decide_unpause(container), origin)
        await self._orders_done(container, 1)

    async def rename(self, reference: str, name: str, origin: Origin) -> None:
        """Give a container another name.

        Raises:
            NameInUse, InvalidRequest: for the name.
        """
        container = self._ledger.head.container(reference)
        if not name:
            raise InvalidRequest("Neither old nor new names may be empty")
        chosen = self._check_rename(container, name)
        await self._record(container, decide_rename(container, chosen), origin)

    async def remove(self, reference: str, origin: Origin, *, force: bool, volumes: bool) -> None:
        """Remove a container, and return when nothing is left of it.

        Raises:
            RunningNotRemovable: without ``force``.
            RemovalFailed: something holds it; the engine goes on trying.
        """
        container = self._ledger.head.container(reference)
        if container.phase is not Phase.DEAD or container.is_unreadable:
            events = decide_remove(container, force=force, volumes=volumes)
            await self._record(container, events, origin, essential=True)
        self._streams.forget(container.id)
        await until_removed(self._changes, container.id)

    def waiting(self, reference: str, condition: WaitCondition) -> Waiting:
        """Accept a wait.

        Raises:
            NoSuchContainer: there is nothing to wait for.
        """
        return Waiting(self._changes, self.get(reference), condition)

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
            await until_started(self._changes, container.id, container.run + 1)
        except StartRefused:
            self._streams.forget(container.id)
            raise

    async def _start_stopped(self, reference: str, container: Container, origin: Origin) -> None:
        try:
            await self._start(container, origin, restart=True)
        except Conflict as conflict:
            raise RestartRefused(f"Cannot restart container {reference}: {conflict}") from conflict

    async def _remove_unstartable(self, container: Container, origin: Origin) -> None:
        """Remove a container that was to be removed after a run which it won't have: clients may
        wait for the removal.
        """
        if container.phase is Phase.CREATED and container.spec.auto_remove:
            events = decide_remove(container, force=False, volumes=False)
            await self._record(container, events, origin, essential=True)

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

    async def _orders_done(self, container: Container, count: int) -> None:
        """Wait until the orders that were given since ``container`` was looked up are done."""
        first = container.orders_given + 1
        await until_done(self._changes, container.id, range(first, first + count))

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
