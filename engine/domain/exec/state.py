"""Define execs: state, events, phases and decisions.

Its stream stands below the container's, ``container/ID/exec/EXEC``, so that a container's history
is one range of streams while a thousand execs do not weigh on the container's own state. An exec
that has ended leaves the read model; what its exit code was is answered by replaying its few
events.

    CREATED ──ExecStartRequested──▶ STARTING ──ExecStarted──▶ RUNNING ──ExecExited──▶ ENDED
       └──────────ExecStartFailed───────┴─▶ ENDED
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

from engine.domain.container.events import UNKNOWN_EXIT_CODE, ProcessIdentity
from engine.domain.event import Event
from engine.domain.ids import ContainerId, ExecId
from engine.errors import Conflict

UNSTARTED_MAX_NS: Final = 300 * 1_000_000_000
"""How long an exec waits for its start; Docker forgets execs after five minutes, too."""


class ExecSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked for: Docker's ExecConfig."""

    arguments: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    tty: bool = False
    console_size: tuple[int, int] = (0, 0)
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    privileged: bool = False
    detach_keys: str = ""


class ExecCreated(Event, frozen=True, kw_only=True):
    """An exec was defined."""

    TYPE: ClassVar[str] = "exec_created"
    id: ExecId
    container: ContainerId
    spec: ExecSpec


class ExecStartRequested(Event, frozen=True, kw_only=True):
    """Intent: run the exec."""

    TYPE: ClassVar[str] = "exec_start_requested"
    detach: bool = False


class ExecStarted(Event, frozen=True, kw_only=True):
    """The exec's process executes the program."""

    TYPE: ClassVar[str] = "exec_started"
    process: ProcessIdentity


class ExecStartFailed(Event, frozen=True, kw_only=True):
    """The exec's process could not be started; the exit code is Docker's 126 or 127."""

    TYPE: ClassVar[str] = "exec_start_failed"
    message: str
    exit_code: int


class ExecExited(Event, frozen=True, kw_only=True):
    """The exec's process has ended."""

    TYPE: ClassVar[str] = "exec_exited"
    code: int


class ExecDetached(Event, frozen=True, kw_only=True):
    """The exec's client has detached, perhaps before the program began; the process goes on."""

    TYPE: ClassVar[str] = "exec_detached"


EVENTS: Final[tuple[type[Event], ...]] = (
    ExecCreated,
    ExecStartRequested,
    ExecStarted,
    ExecStartFailed,
    ExecExited,
    ExecDetached,
)


class ExecPhase(StrEnum):
    """Where an exec is in its life."""

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"


TRANSITIONS: Final[Mapping[ExecPhase, Mapping[type[Event], ExecPhase]]] = {
    ExecPhase.CREATED: {
        ExecStartRequested: ExecPhase.STARTING,
        ExecStartFailed: ExecPhase.ENDED,
    },
    ExecPhase.STARTING: {
        ExecDetached: ExecPhase.STARTING,
        ExecStarted: ExecPhase.RUNNING,
        ExecStartFailed: ExecPhase.ENDED,
    },
    ExecPhase.RUNNING: {
        ExecDetached: ExecPhase.RUNNING,
        ExecExited: ExecPhase.ENDED,
    },
    ExecPhase.ENDED: {},
}
assert TRANSITIONS.keys() == set(ExecPhase)


class Exec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An exec, computed from its events."""

    id: ExecId
    container: ContainerId
    spec: ExecSpec
    phase: ExecPhase = ExecPhase.CREATED
    process: ProcessIdentity | None = None
    exit_code: int | None = None
    error: str = ""
    detached: bool = False
    """Its client has detached."""
    was_dropped: bool = False
    """Nobody started it in time, or before its container ended: to Docker's clients it does not
    exist."""
    created_ns: int = 0
    """Wall clock; 0 in states from before this field."""


class ExecNotStartable(Conflict):
    """The exec was started before."""


def decide_exec_start(execution: Exec, *, detach: bool) -> tuple[Event, ...]:
    """Return what ``POST /exec/{id}/start`` adds to the log.

    Raises:
        ExecNotStartable: an exec is started once.
    """
    if execution.phase is ExecPhase.RUNNING or execution.phase is ExecPhase.STARTING:
        raise ExecNotStartable(f"Error: Exec command {execution.id} is already running")
    if execution.phase is ExecPhase.ENDED:
        raise ExecNotStartable(f"Error: Exec command {execution.id} has already run")
    return (ExecStartRequested(detach=detach),)


def decide_exec_detached(execution: Exec) -> tuple[Event, ...]:
    """Return what the detach keys add to the log: an exec has one client, which detaches once."""
    if ExecDetached not in TRANSITIONS[execution.phase] or execution.detached:
        return ()
    return (ExecDetached(),)


def decide_exec_expired(execution: Exec, now_ns: int) -> tuple[Event, ...]:
    """Return what ends an exec that was not started in time."""
    age_ns = now_ns - execution.created_ns
    is_known = execution.phase is ExecPhase.CREATED and execution.created_ns > 0
    if not is_known or age_ns < UNSTARTED_MAX_NS:
        return ()
    return (ExecStartFailed(message="nobody has started it", exit_code=126),)


def decide_exec_lost(execution: Exec) -> tuple[Event, ...]:
    """Return what the end of the container adds for an exec whose outcome is unknown."""
    if ExecExited in TRANSITIONS[execution.phase]:
        return (ExecExited(code=UNKNOWN_EXIT_CODE),)
    if ExecStartFailed in TRANSITIONS[execution.phase]:
        return (ExecStartFailed(message="the container has ended", exit_code=126),)
    return ()


def evolve(execution: Exec | None, event: Event, at_ns: int) -> Exec:
    """Return the exec after one more event."""
    if execution is None:
        assert isinstance(event, ExecCreated)
        return Exec(id=event.id, container=event.container, spec=event.spec, created_ns=at_ns)
    moved = replace(execution, phase=TRANSITIONS[execution.phase][type(event)])
    match event:
        case ExecStarted(process=process):
            return replace(moved, process=process)
        case ExecStartFailed(message=message, exit_code=code):
            dropped = execution.phase is ExecPhase.CREATED
            return replace(moved, error=message, exit_code=code, was_dropped=dropped)
        case ExecExited(code=code):
            return replace(moved, exit_code=code)
        case ExecDetached():
            return replace(moved, detached=True)
        case _:
            return moved
