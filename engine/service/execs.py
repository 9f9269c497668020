"""Create and start execs, and resize their terminals."""

import secrets
from collections import OrderedDict
from collections.abc import Iterable
from functools import partial
from typing import Final

import trio

from engine.domain.container.decisions import NotRunning, still_restarting
from engine.domain.container.phases import Phase
from engine.domain.event import Origin
from engine.domain.exec.state import (
    Exec,
    ExecCreated,
    ExecPhase,
    ExecSpec,
    decide_exec_start,
    evolve,
)
from engine.domain.ids import ContainerId, ExecId
from engine.domain.streams import exec_stream
from engine.errors import Conflict, DriverError
from engine.ports.streams import Client, StreamOptions, Streams
from engine.queries.threads import ask
from engine.queries.waiting import Changes
from engine.store.exec_index import NoSuchExec
from engine.store.ledger import Ledger
from engine.store.records import Recorded
from engine.supervisor.supervisor import Supervisor

TAKE_OVER_TIMEOUT_S: Final = 2.0
"""How long an inspect waits for the end of an exec that the monitor is about to report."""
RESIZE_TIMEOUT_S: Final = 10.0
"""How long the size of a terminal waits for the terminal: clients send it as soon as they have
asked for the start."""
RECENT_MAX: Final = 256
"""Execs kept in memory after their end; older ones are looked up in the log."""
RECENT_CHARACTERS_MAX: Final = 8192
"""Arguments and environment of an exec that is kept; larger ones are looked up in the log."""


class Execs:
    """Creates, starts and inspects execs, by ID."""

    def __init__(
        self, ledger: Ledger, supervisor: Supervisor, streams: Streams, changes: Changes
    ) -> None:
        self._ledger = ledger
        self._supervisor = supervisor
        self._streams = streams
        self._changes = changes
        self._recent: OrderedDict[str, Exec] = OrderedDict()
        ledger.follow(self._follow)

    async def create(self, container: str, spec: ExecSpec, origin: Origin) -> ExecId:
        """Define an exec.

        Raises:
            NotRunning, Conflict: the container has no process to join.
        """
        target = self._ledger.head.container(container)
        if target.phase is Phase.PAUSED:
            raise Conflict(f"Container {container} is paused, unpause the container before exec")
        if target.phase is Phase.RESTARTING:
            raise still_restarting(target)
        if not target.is_running:
            raise NotRunning(f"container {target.id} is not running")
        identity = ExecId(secrets.token_hex(32))
        created = ExecCreated(id=identity, container=target.id, spec=spec)
        await self._ledger.record(origin, (exec_stream(target.id, identity), (created,)))
        return identity

    async def check_startable(self, execution: str) -> Exec:
        """Refuse what a start would refuse, before the client's connection is taken over.

        Raises:
            NoSuchExec, ExecNotStartable, NotRunning, Conflict.
        """
        found = await self.get(execution)
        decide_exec_start(found, detach=False)
        target = self._ledger.head.container(found.container)
        if target.phase is Phase.PAUSED:
            raise Conflict(f"Container {target.id} is paused, unpause the container before exec")
        if not target.is_running:
            raise NotRunning(f"container {target.id} is not running")
        return found

    async def start(
        self, execution: str, options: StreamOptions, client: Client | None, origin: Origin
    ) -> Exec:
        """Start it, and return when its process executes the program or can't.

        Args:
            execution: its ID.
            options: what the client wants of its streams.
            client: the connection, taken over in any case; None to run detached.
            origin: who asked.

        Returns:
            The exec; ``error`` says why there is no process.
        """
        found = self._ledger.head.execution(execution)
        self._streams.offer_exec(found.id, options, client)
        try:
            events = decide_exec_start(found, detach=client is None)
            await self._ledger.record(origin, (exec_stream(found.container, found.id), events))
            await self._changes.until_any(found.container, lambda: self._is_settled(found.id))
        finally:
            self._streams.withdraw_exec(found.id)
        return await self.get(found.id)

    def _is_settled(self, execution: ExecId) -> bool:
        current = self._ledger.durable.execs.get(execution)
        return current is None or current.phase is not ExecPhase.STARTING

    async def get(self, execution: str) -> Exec:
        """Return an exec, live or ended.

        Raises:
            NoSuchExec: there never was one, or its container is gone, or it was not started before
                that ended.
        """
        known = self._ledger.durable.execs.get(ExecId(execution)) or self._recent.get(execution)
        if known is None:
            containers = tuple(self._ledger.durable.containers)
            known = await ask(partial(self._from_history, containers, execution))
        if known.container not in self._ledger.durable.containers or known.was_dropped:
            raise NoSuchExec(f"No such exec instance: {execution}")
        return known

    async def caught_up(self, execution: str) -> Exec:
        """Return an exec as :meth:`get` does, after reading what its monitor has written by now.

        A client that saw the end of the stream asks for the exit code at once; the monitor wrote it
        down before it closed.
        """
        live = await self.get(execution)
        if live.phase is not ExecPhase.RUNNING:
            return live
        with trio.move_on_after(TAKE_OVER_TIMEOUT_S):
            await self._supervisor.caught_up(live.container)
        return await self.get(execution)

    async def resize(self, execution: str, *, height: int, width: int) -> None:
        """Set the size of an exec's terminal as soon as there is one. Without a terminal that is no
        error.

        Raises:
            NoSuchExec: it is over.
            Conflict: it is not started in time.
        """
        found = self._ledger.durable.execution(execution)
        with trio.move_on_after(RESIZE_TIMEOUT_S):
            await self._changes.until_any(found.container, lambda: not self._is_to_come(found.id))
        if self._is_to_come(found.id):
            raise Conflict("timeout waiting for exec session ready")
        found = self._ledger.durable.execution(execution)
        if not found.spec.tty:
            return
        container = self._ledger.durable.container(found.container)
        try:
            await self._streams.resize(container, found.id, height=height, width=width)
        except DriverError:
            await self._supervisor.caught_up(container.id)
            self._ledger.durable.execution(execution)  # it may have ended meanwhile
            raise

    def _is_to_come(self, execution: ExecId) -> bool:
        current = self._ledger.durable.execs.get(execution)
        return current is not None and current.phase in (ExecPhase.CREATED, ExecPhase.STARTING)

    def of(self, container: ContainerId) -> tuple[ExecId, ...]:
        """Return the live execs of a container."""
        return tuple(self._ledger.durable.execs_of.get(container, {}))

    def _follow(self, recorded: Recorded) -> None:
        """Keep recent execs in memory: clients ask for them just after they have left the view."""
        kind, _, identity = recorded.stream.rpartition("/")
        if not kind.endswith("/exec"):
            return
        before, event = self._recent.pop(identity, None), recorded.event
        if before is None and not (isinstance(event, ExecCreated) and _is_small(event.spec)):
            return
        self._recent[identity] = evolve(before, event, recorded.at_ns)
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)

    def _from_history(self, containers: Iterable[ContainerId], execution: str) -> Exec:
        """Look an exec up below each existing container: one index entry each, and no event of
        another exec.
        """
        streams = [exec_stream(container, ExecId(execution)) for container in containers]
        found: Exec | None = None
        for recorded in self._ledger.log.read(streams=streams):
            found = evolve(found, recorded.event, recorded.at_ns)
        if found is None:
            raise NoSuchExec(f"No such exec instance: {execution}")
        return found


def _is_small(spec: ExecSpec) -> bool:
    texts = (*spec.arguments, *spec.env)
    return sum(map(len, texts)) + len(texts) <= RECENT_CHARACTERS_MAX
