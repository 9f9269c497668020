"""Find what has happened and is not in the log: (state, observation) → events. Pure.

A fact of the journal becomes an event if the state still waits for it; one that the state has moved
past was taken over before. So reading a journal again, after a crash at any point, adds nothing
twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.domain.container import evolution as life
from engine.domain.container.decisions import (
    decide_escalation,
    decide_exited,
    decide_start_failed,
)
from engine.domain.container.events import (
    UNKNOWN_EXIT_CODE,
    AttachClosed,
    DriftDetected,
    DriftRepaired,
    ExitReason,
    LogLost,
    OutOfMemory,
    ProcessIdentity,
    Started,
)
from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.domain.event import MONITOR, SUPERVISOR, Actor, Event
from engine.domain.exec import state as exec_life
from engine.domain.exec.state import (
    Exec,
    ExecExited,
    ExecPhase,
    ExecStarted,
    ExecStartFailed,
    decide_exec_detached,
    decide_exec_lost,
)
from engine.domain.ids import ExecId
from engine.domain.streams import container_stream, exec_stream
from engine.ports.observation import (
    DETACHED,
    ENDED,
    AttachEnded,
    ExecProcessExited,
    ExecProcessNotStarted,
    ExecProcessStarted,
    Fact,
    LogDropped,
    MemoryExhausted,
    MonitorBegan,
    Observation,
    Presence,
    ProcessExited,
    ProcessNotStarted,
    ProcessStarted,
    identity_of,
)


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Events that one cause adds to one stream."""

    stream: str
    events: tuple[Event, ...]
    actor: Actor
    at_ns: int | None = None
    """None means now."""


@dataclass(slots=True)
class _Reader:
    """A fold in progress: the states after the conclusions so far."""

    container: Container
    execs: dict[ExecId, Exec]
    monitor: ProcessIdentity | None
    conclusions: list[Conclusion]

    def add(self, events: tuple[Event, ...], actor: Actor, at_ns: int | None = None) -> None:
        if not events:
            return
        for event in events:
            self.container = life.evolve(self.container, event, at_ns or 0)
        stream = container_stream(self.container.id)
        self.conclusions.append(Conclusion(stream, events, actor, at_ns))

    def add_exec(
        self, execution: Exec, events: tuple[Event, ...], actor: Actor, at_ns: int | None
    ) -> None:
        if not events:
            return
        after = execution
        for event in events:
            after = exec_life.evolve(after, event, at_ns or 0)
        self.execs[execution.id] = after
        stream = exec_stream(execution.container, execution.id)
        self.conclusions.append(Conclusion(stream, events, actor, at_ns))


def conclude(
    container: Container,
    execs: Mapping[ExecId, Exec],
    observed: Observation,
    monitor: ProcessIdentity | None,
    boot_ns: int,
) -> tuple[Conclusion, ...]:
    """Return the events that an observation implies, in order, each with the time it happened.

    Args:
        container: its present state.
        execs: its live execs.
        observed: the observation; facts that were concluded from before do no harm.
        monitor: the monitor that wrote this run's journal, if an earlier observation named it.
        boot_ns: now, on CLOCK_BOOTTIME.
    """
    reader = _read(container, execs, observed.facts, monitor)
    _take_absence(reader, observed, boot_ns)
    if reader.container.is_running:
        reader.add(decide_escalation(reader.container, boot_ns), SUPERVISOR)
        reader.add(_drift(reader.container, observed), SUPERVISOR)
    else:
        _end_execs(reader)
    return tuple(reader.conclusions)


def conclude_facts(
    container: Container,
    execs: Mapping[ExecId, Exec],
    facts: tuple[Fact, ...],
    monitor: ProcessIdentity | None,
) -> tuple[Conclusion, ...]:
    """Return the events that facts imply by themselves, without the rest of an observation."""
    return tuple(_read(container, execs, facts, monitor).conclusions)


def _read(
    container: Container,
    execs: Mapping[ExecId, Exec],
    facts: tuple[Fact, ...],
    monitor: ProcessIdentity | None,
) -> _Reader:
    reader = _Reader(container, dict(execs), monitor, [])
    for fact in facts:
        _take(reader, fact)
    return reader


def _take(reader: _Reader, fact: Fact) -> None:
    match fact:
        case MonitorBegan():
            reader.monitor = identity_of(fact)
        case ExecProcessStarted() | ExecProcessNotStarted() | ExecProcessExited():
            _take_exec(reader, fact)
        case AttachEnded():
            _take_attach_ended(reader, fact)
        case _:
            reader.add(_own_events(reader, fact), MONITOR, fact.stamp.at_ns)


def _take_attach_ended(reader: _Reader, fact: AttachEnded) -> None:
    """Record that a client of the container has gone, or the one client of an exec. The exec's
    client is identified by the exec's ID.
    """
    attach, at_ns = fact.attach_id, fact.stamp.at_ns
    if attach in reader.container.attachments:
        reader.add((AttachClosed(attach=attach, reason=fact.reason),), MONITOR, at_ns)
    execution = reader.execs.get(ExecId(attach))
    if execution is not None and fact.reason == DETACHED:
        reader.add_exec(execution, decide_exec_detached(execution), MONITOR, at_ns)


def _own_events(reader: _Reader, fact: Fact) -> tuple[Event, ...]:
    container = reader.container
    match fact:
        case ProcessStarted() if container.phase is Phase.STARTING:
            assert reader.monitor is not None, "a journal begins with its monitor"
            process, boot_ns = identity_of(fact), fact.stamp.boot_ns
            return (Started(process=process, monitor=reader.monitor, boot_ns=boot_ns),)
        case ProcessNotStarted() if container.phase is Phase.STARTING:
            return decide_start_failed(container, fact.message, fact.exit_code)
        case ProcessExited() if container.process is not None:
            return decide_exited(
                container,
                code=fact.code,
                signal=fact.signal,
                oom=fact.oom,
                reason=ExitReason.EXITED,
                boot_ns=fact.stamp.boot_ns,
            )
        case MemoryExhausted(kills=count) if container.process and count > container.oom_kills:
            return (OutOfMemory(count=count),)
        case LogDropped(lost_bytes=lost) if container.process and lost > container.log_lost_bytes:
            return (LogLost(count_bytes=lost),)
        case _:
            return ()


def _take_exec(
    reader: _Reader, fact: ExecProcessStarted | ExecProcessNotStarted | ExecProcessExited
) -> None:
    execution = reader.execs.get(ExecId(fact.exec_id))
    if execution is None:
        return
    events: tuple[Event, ...] = ()
    match fact:
        case ExecProcessStarted() if execution.phase is ExecPhase.STARTING:
            events = (ExecStarted(process=identity_of(fact)),)
        case ExecProcessNotStarted() if execution.phase is ExecPhase.STARTING:
            events = (ExecStartFailed(message=fact.message, exit_code=fact.exit_code),)
        case ExecProcessExited(code=code) if execution.phase is ExecPhase.RUNNING:
            events = (ExecExited(code=code),)
        case _:
            pass
    reader.add_exec(execution, events, MONITOR, fact.stamp.at_ns)


def _take_absence(reader: _Reader, observed: Observation, boot_ns: int) -> None:
    """Conclude that the container, or its start, has ended: neither monitor nor process is alive,
    so no fact will report it.
    """
    container = reader.container
    if observed.monitor_alive or observed.process_alive:
        return
    if container.process is not None:
        rebooted = container.process.boot_id != observed.boot_id
        ended = decide_exited(
            container,
            code=UNKNOWN_EXIT_CODE,
            signal=None,
            oom=False,
            reason=ExitReason.REBOOT if rebooted else ExitReason.MONITOR_LOST,
            boot_ns=boot_ns,
        )
        reader.add(ended, SUPERVISOR)
    elif container.phase is Phase.STARTING and reader.monitor is not None:
        failed = decide_start_failed(
            container, "the container's monitor died during the start", 125
        )
        reader.add(failed, SUPERVISOR)


def _end_execs(reader: _Reader) -> None:
    if reader.container.phase is Phase.STARTING:
        return
    for execution in tuple(reader.execs.values()):
        reader.add_exec(execution, decide_exec_lost(execution), SUPERVISOR, None)
    for attach in reader.container.attachments if reader.container.phase is Phase.REMOVING else ():
        reader.add((AttachClosed(attach=attach, reason=ENDED),), SUPERVISOR)


def _drift(container: Container, observed: Observation) -> tuple[Event, ...]:
    if not observed.monitor_alive:
        return ()
    wrong = {
        "sandbox": container.sandbox is not None and observed.sandbox is not Presence.RIGHT,
        "cgroup": observed.cgroup is not Presence.RIGHT,
        "files": observed.files is Presence.ABSENT,
    }
    detected = (
        DriftDetected(what=what)
        for what, is_wrong in wrong.items()
        if is_wrong and what not in container.drift
    )
    repaired = (DriftRepaired(what=what) for what in container.drift if not wrong[what])
    return (*detected, *repaired)
