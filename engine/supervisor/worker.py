"""Bring one container to the state that the log asks for; the only task that acts on it.

    wake ─▶ observe ─▶ conclude ─▶ record ─▶ plan ─▶ perform ─▶ observe …  until nothing is left
      ▲                                                                │
      └──────────── a hint, a deadline, the sweep ◀────────────────────┘

A wake-up carries no data, because the observation finds everything. A worker may be killed between
any two steps: the next one begins with an observation.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby

import structlog
import trio
from msgspec.structs import replace

from engine.domain.container.attachment import Connected, ConnectFailed, Disconnected
from engine.domain.container.decisions import decide_not_started, decide_start_failed
from engine.domain.container.events import (
    Paused,
    ProcessIdentity,
    Removed,
    RemoveFailed,
    Signalled,
    Unpaused,
)
from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.domain.container.update import Updated, UpdateFailed
from engine.domain.event import SUPERVISOR, Actor, Event, Origin
from engine.domain.exec.state import Exec
from engine.domain.ids import ContainerId, ExecId
from engine.domain.streams import container_stream
from engine.errors import DriverError, EngineError
from engine.failpoints import failpoint
from engine.ports.actions import (
    Action,
    ApplyLimits,
    Connect,
    Disconnect,
    Freeze,
    RemoveDirectory,
    Signal,
    Thaw,
)
from engine.ports.kernel import Kernel
from engine.ports.observation import Fact, Observation, monitor_of
from engine.store.ledger import Append, Ledger
from engine.supervisor.deadlines import deadline_of
from engine.supervisor.missing_events import Conclusion, conclude, conclude_facts
from engine.supervisor.plan import plan, stages
from engine.supervisor.starts import Starts

RETRY_FIRST_S = 0.05
RETRY_FACTOR = 2
RETRY_MAX_S = 30.0
SECOND_NS = 1_000_000_000

_Result = tuple[Fact, ...] | DriverError
"""The outcome of an action."""

log = structlog.get_logger()


class Worker:
    """Brings one container to the state that the log asks for, and keeps it there."""

    def __init__(
        self,
        container: ContainerId,
        ledger: Ledger,
        kernel: Kernel,
        starts: Starts,
        cause: Callable[[ContainerId], Origin],
    ) -> None:
        self._id = container
        self._stream = container_stream(container)
        self._ledger = ledger
        self._kernel = kernel
        self._starts = starts
        self._cause = cause
        self._run = 0
        self._facts_taken = 0
        self._monitor: ProcessIdentity | None = None
        self._retry_s = 0.0
        self._passes_begun = 0
        self._passes_ended = 0
        self._pass_ended = trio.Event()
        # At most one wake-up waits: the pass that serves it also sees whatever happens before it
        # begins.
        self._wake, self._woken = trio.open_memory_channel[None](1)

    def wake(self) -> None:
        """Request a pass: observe the container soon."""
        try:
            self._wake.send_nowait(None)
        except trio.WouldBlock:  # a pass is due already and will see the change
            return

    @property
    def is_busy(self) -> bool:
        """True while a pass is under way."""
        return self._passes_begun != self._passes_ended

    @property
    def is_backing_off(self) -> bool:
        """True if the last pass ended with an error and the next is not due yet."""
        return bool(self._retry_s) and not self.is_busy

    def reset_back_off(self) -> None:
        """Reset the retry delay to the shortest: a user has asked for something new."""
        self._retry_s = 0.0

    async def at_rest(self) -> None:
        """Return when no pass is under way."""
        while self.is_busy:
            await self._pass_ended.wait()

    async def caught_up(self) -> None:
        """Return when a pass that began after this call is over."""
        awaited = self._passes_begun + 1
        self.wake()
        while self._passes_ended < awaited:
            await self._pass_ended.wait()

    async def first_pass_ended(self) -> None:
        """Return when the first pass is over."""
        while not self._passes_ended:
            await self._pass_ended.wait()

    async def run(self) -> None:
        """Work until the container is removed."""
        with structlog.contextvars.bound_contextvars(container_id=self._id[:12]):
            while (container := self._container()) is not None:
                self._passes_begun += 1
                deadline_ns = await self._pass(container)
                self._end_pass()
                if self._container() is not None:  # a removed container gets no more wake-ups
                    await self._rest(deadline_ns)

    def _serve_wake_up(self) -> None:
        """Take the wake-up that waits, if there is one: what it is about will be seen by the look
        that begins now, as by a pass of its own.
        """
        with suppress(trio.WouldBlock):
            self._woken.receive_nowait()
            self._passes_begun += 1

    def _end_pass(self) -> None:
        self._passes_ended = self._passes_begun
        self._pass_ended.set()
        self._pass_ended = trio.Event()

    def _container(self) -> Container | None:
        return self._ledger.durable.containers.get(self._id)

    async def _rest(self, deadline_ns: int | None) -> None:
        wait_s = self._retry_s or float("inf")
        if deadline_ns is not None:
            wait_s = min(wait_s, max(0.0, (deadline_ns - self._ledger.clock.boot_ns()) / SECOND_NS))
        with trio.move_on_after(wait_s):
            await self._woken.receive()

    async def _pass(self, container: Container) -> int | None:
        """Work until there is nothing to do now.

        Returns:
            The time, on CLOCK_BOOTTIME, when there will be something to do even without a wake-up.
        """
        try:
            current: Container | None = container
            while current is not None and await self._step(current):
                current = self._container()
            self._retry_s = 0.0
        except EngineError as error:
            self._back_off()
            log.warning("container_not_settled", error=str(error), retry_s=self._retry_s)
        except Exception:  # a bug of ours must not stop the workers of other containers
            self._back_off()
            log.exception("worker_failed", retry_s=self._retry_s)
        settled = self._container()
        return None if settled is None else _next_deadline_ns(settled)

    def _back_off(self) -> None:
        self._retry_s = min(max(RETRY_FIRST_S, self._retry_s * RETRY_FACTOR), RETRY_MAX_S)

    async def _step(self, container: Container) -> bool:
        """Observe once, record and act. Returns True if there may be more to do."""
        if container.phase is Phase.CREATED and not container.run:  # nothing exists yet
            return False
        if container.is_unreadable and container.phase is Phase.DEAD:  # left alone until `rm`
            return False
        observed = await self._observe(container)
        failpoint("observed")
        current = await self._take_over(container, observed)
        if current is None:
            return False
        if (
            current.run != container.run
        ):  # restarted meanwhile: the observation is of the earlier run
            return True
        if self._start_is_due(current):
            await self._start_again(current)
            return True
        actions = plan(current, tuple(self._execs().values()), observed)
        for stage in stages(actions):
            if not await self._carry_out(current, stage):
                return True
        return bool(actions)

    async def _observe(self, container: Container) -> Observation:
        if container.run != self._run:
            self._run, self._facts_taken, self._monitor = container.run, 0, None
        self._serve_wake_up()
        observed = await self._kernel.observe(container, self._facts_taken)
        self._monitor = monitor_of(observed.facts) or self._monitor
        return observed

    def _execs(self) -> Mapping[ExecId, Exec]:
        return self._ledger.durable.execs_of.get(self._id, {})

    async def _take_over(self, container: Container, observed: Observation) -> Container | None:
        """Record what has happened, and return the container with these events applied."""
        boot_ns = self._ledger.clock.boot_ns()
        current = self._with_attachments(container)
        conclusions = conclude(current, self._execs(), observed, self._monitor, boot_ns)
        await self._record_conclusions(conclusions, observed.facts)
        return self._container()

    async def _take_facts(self, container: Container, facts: tuple[Fact, ...]) -> None:
        """Record the facts that an action has waited for, without waiting for the next
        observation.
        """
        self._monitor = monitor_of(facts) or self._monitor
        current = self._with_attachments(container)
        conclusions = conclude_facts(current, self._execs(), facts, self._monitor)
        await self._record_conclusions(conclusions, facts)

    def _with_attachments(self, container: Container) -> Container:
        """Return the container with the attachments that it will have once all pending events are
        durable.

        ``AttachOpened`` is recorded without waiting, so a client may leave before its arrival is
        durable.
        """
        head = self._ledger.head.containers.get(self._id)
        return container if head is None else replace(container, attachments=head.attachments)

    async def _record_conclusions(
        self, conclusions: tuple[Conclusion, ...], facts: tuple[Fact, ...]
    ) -> None:
        appends = [
            Append(self._origin(actor), [(each.stream, each.events) for each in together], at_ns)
            for (actor, at_ns), together in groupby(conclusions, key=_append_key)
        ]
        if appends:
            await self._ledger.record_each(appends, essential=True)
            failpoint("concluded")
        if facts:
            self._facts_taken = facts[-1].stamp.number

    def _origin(self, actor: Actor) -> Origin:
        """Return an origin that names the last request about this container as the cause."""
        request = self._cause(self._id)
        return Origin(actor=actor, cause=request.cause, correlation=request.correlation)

    def _start_is_due(self, container: Container) -> bool:
        if container.phase is Phase.RESTARTING:
            return self._ledger.clock.boot_ns() >= container.restart_due_boot_ns
        return container.phase is Phase.EXITED and container.start_again

    async def _start_again(self, container: Container) -> None:
        """Start the container again: the second half of ``docker restart``, or a restart policy's
        start, which is retried on failure.
        """
        try:
            events = self._starts.decide(self._ledger.head, container)
        except EngineError as error:
            if not container.start_again:
                raise
            events = decide_not_started(container, str(error))
        await self._record(events)

    async def _carry_out(self, container: Container, stage: Sequence[Action]) -> bool:
        """Perform a stage's actions and record what became of them.

        Returns:
            Whether the rest of the plan still makes sense.
        """
        results = await self._perform_all(container, stage)
        for action, result in zip(stage, results, strict=True):
            if not isinstance(result, DriverError):
                await self._record_success(container, action, result)
        for action, result in zip(stage, results, strict=True):
            if isinstance(result, DriverError):
                if await self._give_up(container, action, result):
                    return False
                raise result
        return True

    async def _perform_all(self, container: Container, stage: Sequence[Action]) -> list[_Result]:
        if len(stage) == 1:
            return [await self._perform(container, stage[0])]
        results: dict[Action, _Result] = {}

        async def perform(action: Action) -> None:
            results[action] = await self._perform(container, action)

        async with trio.open_nursery() as side_by_side:
            for action in stage:
                side_by_side.start_soon(perform, action)
        return [results[action] for action in stage]

    async def _perform(self, container: Container, action: Action) -> _Result:
        """Perform one action within its deadline."""
        failpoint(f"before_{type(action).__name__}")
        try:
            with deadline_of(action):
                facts = await self._kernel.perform(container, action)
        except DriverError as error:
            return error
        failpoint(f"after_{type(action).__name__}")
        return facts

    async def _record_success(
        self, container: Container, action: Action, facts: tuple[Fact, ...]
    ) -> None:
        outcome = _outcome(action)
        if outcome is not None:
            await self._record((outcome,))
        if facts and (latest := self._container()) is not None and latest.run == container.run:
            await self._take_facts(latest, facts)
        log.debug("action_performed", action=type(action).__name__)

    async def _give_up(self, container: Container, action: Action, error: DriverError) -> bool:
        """Record the failure if there is an event for it, so that the waiting client gets an
        answer. Returns True if the action will not be retried.
        """
        if container.phase is Phase.STARTING:
            await self._record(decide_start_failed(container, str(error), 125))
            return True
        if isinstance(action, ApplyLimits):
            await self._record((UpdateFailed(order=action.order, reason=str(error)),))
            return True
        if isinstance(action, Connect):
            await self._record((ConnectFailed(order=action.order, reason=str(error)),))
            return True
        if container.phase is Phase.REMOVING:
            await self._record((RemoveFailed(reason=str(error)),))
        return False

    async def _record(self, events: tuple[Event, ...]) -> None:
        await self._ledger.record(self._origin(SUPERVISOR), (self._stream, events), essential=True)


def _outcome(action: Action) -> Event | None:
    match action:
        case Signal(order=order, signal=signal):
            return Signalled(order=order, signal=signal)
        case Freeze(order=order):
            return Paused(order=order)
        case Thaw(order=order):
            return Unpaused(order=order)
        case ApplyLimits(order=order):
            return Updated(order=order)
        case Connect(order=order):
            return Connected(order=order)
        case Disconnect(order=order):
            return Disconnected(order=order)
        case RemoveDirectory():
            return Removed()
        case _:
            return None


def _next_deadline_ns(container: Container) -> int | None:
    if container.phase is Phase.RESTARTING:
        return container.restart_due_boot_ns
    if container.is_running and container.stopping is not None:
        return container.stopping.deadline_boot_ns
    return None


def _append_key(conclusion: Conclusion) -> tuple[Actor, int | None]:
    """Return the key by which conclusions are grouped into one append. Without it, a container that
    ends with three thousand execs would need as many appends.
    """
    return conclusion.actor, conclusion.at_ns
