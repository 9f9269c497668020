"""Run health checks, and record when a container's status changes.

::

    follow(log) ──▶ a container runs and has a check: start its task
                    it has ended, or is paused: cancel the task
    task:  wait ─▶ probe ─▶ judge ─▶ HealthChanged, if the status is another ─▶ wait …

Each container has a task of its own, so a probe or a monitor that hangs delays only its own
container's check. Containers without a check cost nothing. Intervals are counted from a container's
start, on CLOCK_BOOTTIME. After a restart of the daemon they continue in the same rhythm, so that a
thousand checks are spread over time as the thousand starts were.

``domain/container/health.py`` says what is kept in memory only and is lost in a crash.
"""

from dataclasses import dataclass, field
from typing import Final

import structlog
import trio
from msgspec.structs import replace

from engine.background import Loop, forever
from engine.domain.container import health as checks
from engine.domain.container.events import Exited, Paused, Removed, Started, Unpaused
from engine.domain.container.health import Health, HealthChanged, ProbeResult
from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.domain.event import SUPERVISOR, Event, Origin
from engine.domain.ids import ContainerId
from engine.domain.image.config import Healthcheck
from engine.domain.streams import container_stream
from engine.errors import DriverError
from engine.ports.probes import Probes
from engine.store.ledger import Ledger
from engine.store.records import Recorded

NAP_MAX_S: Final = 60.0
"""The longest single sleep. trio's clock stands still while the machine is suspended,
CLOCK_BOOTTIME does not; so a probe is at most this late after a resume.
"""
_SECOND_NS: Final = 1_000_000_000
_MOVES: Final[tuple[type[Event], ...]] = (Started, Exited, Paused, Unpaused, Removed)
"""Events after which a check may have to begin or to end."""


@dataclass(slots=True)
class _Watch:
    """The health check task of one container."""

    run: int
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class HealthChecks:
    """Runs the health checks of all containers."""

    def __init__(self, ledger: Ledger, probes: Probes) -> None:
        self._ledger = ledger
        self._probes = probes
        self._nursery: trio.Nursery | None = None
        self._watches: dict[ContainerId, _Watch] = {}
        self._recent: dict[ContainerId, tuple[int, Health]] = {}
        ledger.follow(self._follow)

    async def run(self) -> None:
        """Run health checks until cancelled. The containers are not affected by the end of the
        checks.
        """
        async with trio.open_nursery() as watches:  # owns the task of every check
            self._nursery = watches
            try:
                now_ns = self._ledger.clock.boot_ns()
                for container in tuple(self._ledger.durable.containers.values()):
                    self._look(container.id, _next_in_step(container, now_ns))
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def current(self, container: Container) -> Container:
        """Return the container with the probe results since its last ``HealthChanged`` event."""
        run, recent = self._recent.get(container.id, (0, None))
        if recent is None or container.health is None:
            return container
        known = replace(container.health, log=recent.log)
        if run == container.run:
            known = replace(known, failing_streak=recent.failing_streak)
        return replace(container, health=known)

    def _follow(self, recorded: Recorded) -> None:
        if not isinstance(recorded.event, _MOVES):
            return
        identity = ContainerId(recorded.stream.removeprefix("container/"))
        if isinstance(recorded.event, Removed):
            self._recent.pop(identity, None)
        container = self._ledger.durable.containers.get(identity)
        check = container.spec.healthcheck if container else None
        if container is not None and container.health is not None and check is not None:
            wait_ns = checks.interval_ns(check, container.health.status, self._age_ns(container))
            self._look(identity, self._ledger.clock.boot_ns() + wait_ns)
        else:
            self._look(identity, 0)

    def _look(self, identity: ContainerId, due_ns: int) -> None:
        """Start or stop the container's task, so that it runs exactly while the check is active."""
        container = self._ledger.durable.containers.get(identity)
        wanted = container is not None and _is_asked(container)
        watch = self._watches.get(identity)
        if watch is not None and not (wanted and container and watch.run == container.run):
            watch.scope.cancel()
            del self._watches[identity]
            watch = None
        if wanted and watch is None and container is not None and self._nursery is not None:
            watch = self._watches[identity] = _Watch(container.run)
            self._nursery.start_soon(self._watch, identity, watch, due_ns)

    async def _watch(self, identity: ContainerId, watch: _Watch, due_ns: int) -> None:
        async def wait_and_ask() -> None:
            nonlocal due_ns
            await self._until(due_ns)
            try:
                await self._ask(identity, watch.run)
            finally:
                due_ns = self._ledger.clock.boot_ns() + self._wait_ns(identity)

        with watch.scope, structlog.contextvars.bound_contextvars(container_id=identity[:12]):
            await forever(Loop.HEALTH, wait_and_ask)

    async def _until(self, due_ns: int) -> None:
        while (left_ns := due_ns - self._ledger.clock.boot_ns()) > 0:  # noqa: ASYNC110  (waits for the time)
            await trio.sleep(min(left_ns / _SECOND_NS, NAP_MAX_S))
        await trio.lowlevel.checkpoint()

    def _wait_ns(self, identity: ContainerId) -> int:
        container = self._ledger.durable.containers.get(identity)
        # already ended: the event that cancels this task is on its way
        if container is None or container.health is None:
            return checks.INTERVAL_DEFAULT_NS
        check, status = _check(container), container.health.status
        return checks.interval_ns(check, status, self._age_ns(container))

    def _age_ns(self, container: Container) -> int:
        return self._ledger.clock.boot_ns() - container.started_boot_ns

    async def _ask(self, identity: ContainerId, run: int) -> None:
        """Run one probe and judge its result."""
        container = self._ledger.durable.containers.get(identity)
        if container is None or not _is_asked(container):
            return
        age_ns, started_ns = self._age_ns(container), self._ledger.clock.wall_ns()
        answer = await self._probe(container)
        if answer is None:
            return
        exit_code, output = answer
        result = ProbeResult(
            started_ns=started_ns,
            ended_ns=self._ledger.clock.wall_ns(),
            exit_code=exit_code,
            output=output,
        )
        await self._record_result(identity, run, result, age_ns)

    async def _probe(self, container: Container) -> tuple[int, str] | None:
        """Run one probe and return its exit code and output as Docker shows them. Returns None when
        the container has ended.
        """
        check = _check(container)
        arguments = checks.probe_arguments(check, container.spec.shell)
        try:
            answer = await self._probes.probe(
                container, arguments, checks.timeout_ns(check) / _SECOND_NS
            )
        except DriverError as error:
            return checks.NO_EXIT_CODE, str(error)
        if answer is None:
            return None
        if answer.exit_code is None:
            return checks.NO_EXIT_CODE, checks.timeout_text(check, answer.output)
        return answer.exit_code, answer.output

    async def _record_result(
        self, identity: ContainerId, run: int, result: ProbeResult, age_ns: int
    ) -> None:
        """Add a result to the earlier ones. There is no checkpoint between reading the head and
        adding to it, so no other task can interfere.
        """
        container = self._ledger.head.containers.get(identity)
        if container is None or not _is_asked(container) or container.run != run:
            return
        before = self.current(container).health
        assert before is not None
        after = checks.judge(before, _check(container), result, age_ns)
        self._recent[identity] = (run, after)
        if after.status is not before.status:
            changed = HealthChanged(
                status=after.status, failing_streak=after.failing_streak, result=result
            )
            stream = container_stream(identity)
            await self._ledger.record(Origin(actor=SUPERVISOR), (stream, (changed,)))


def _is_asked(container: Container) -> bool:
    """True if a container with a check runs and is not paused."""
    return container.phase is Phase.RUNNING and container.health is not None


def _check(container: Container) -> Healthcheck:
    assert container.spec.healthcheck is not None, "health comes from a check"
    return container.spec.healthcheck


def _next_in_step(container: Container, now_ns: int) -> int:
    """Return when the next probe is due in a container that was already running at recovery."""
    if container.health is None:
        return now_ns
    age_ns = now_ns - container.started_boot_ns
    step_ns = checks.interval_ns(_check(container), container.health.status, age_ns)
    return now_ns + step_ns - age_ns % step_ns
