"""Test what each command adds to a container's history in each phase, and what follows from an
end.
"""

from collections.abc import Callable
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, SIGUSR1
from typing import Any

import pytest
from msgspec.structs import replace

from engine.domain.container.decisions import (
    AlreadyRunning,
    AlreadyStopped,
    InvalidTransition,
    NotRunning,
    RemovalInProgress,
    RunningNotRemovable,
    decide_escalation,
    decide_exited,
    decide_not_started,
    decide_pause,
    decide_remove,
    decide_rename,
    decide_signal,
    decide_start,
    decide_start_failed,
    decide_stop,
    decide_unpause,
    should_restart,
)
from engine.domain.container.events import (
    Created,
    Exited,
    ExitReason,
    Order,
    OrderKind,
    PauseRequested,
    ProcessIdentity,
    RemoveRequested,
    Renamed,
    RestartScheduled,
    SignalRequested,
    StartFailed,
    StartRequested,
    Stopping,
    StopRequested,
    UnpauseRequested,
)
from engine.domain.container.evolution import evolve
from engine.domain.container.phases import TRANSITIONS, Phase
from engine.domain.container.spec import RestartPolicy, Spec
from engine.domain.container.state import Container
from engine.domain.event import Event
from engine.domain.ids import ContainerId, ImageId, SandboxId
from engine.errors import EngineError

ID = ContainerId("c" * 64)
SPEC = Spec(image="busybox", image_id=ImageId("sha256:" + "1" * 64), command=("sleep",))
PROCESS = ProcessIdentity(pid=7, start_ticks=70, boot_id="boot")
SECOND_NS = 1_000_000_000
BOOT_NS = 100 * SECOND_NS
SANDBOX = SandboxId("a" * 16)


def container(phase: Phase, **fields: Any) -> Container:
    runs = phase in (Phase.RUNNING, Phase.PAUSED)
    known = {"id": ID, "name": "c", "spec": SPEC, "created_ns": 1, "run": 1, "orders_given": 4}
    return Container(**{**known, "process": PROCESS if runs else None, **fields}, phase=phase)


def stop(order: int = 5, signal: int = SIGTERM, timeout_s: int = 10, **fields: Any) -> Event:
    return StopRequested(order=order, signal=signal, timeout_s=timeout_s, boot_ns=BOOT_NS, **fields)


COMMANDS: dict[str, Callable[[Container], tuple[Event, ...]]] = {
    "start": lambda known: decide_start(known, sandbox=SANDBOX, endpoints=(), ports=()),
    "stop": lambda known: decide_stop(known, signal=None, timeout_s=None, boot_ns=BOOT_NS),
    "kill": lambda known: decide_signal(known, SIGKILL, BOOT_NS),
    "pause": decide_pause,
    "unpause": decide_unpause,
    "rename": lambda known: decide_rename(known, "new"),
    "rm": lambda known: decide_remove(known, force=False, volumes=False),
    "rm --force": lambda known: decide_remove(known, force=True, volumes=True),
}
START = (StartRequested(run=2, sandbox=SANDBOX),)
KILL = (SignalRequested(order=5, signal=SIGKILL),)
THAW = UnpauseRequested(order=6)
RENAME = (Renamed(name="new", before="c"),)
REMOVE = (RemoveRequested(),)
FORCE = (RemoveRequested(force=True, volumes=True),)

Outcome = tuple[Event, ...] | type[EngineError]
TABLE: dict[Phase, dict[str, Outcome]] = {
    Phase.CREATED: {
        "start": START,
        "stop": AlreadyStopped,
        "kill": NotRunning,
        "pause": NotRunning,
        "unpause": InvalidTransition,
        "rename": RENAME,
        "rm": REMOVE,
        "rm --force": FORCE,
    },
    Phase.STARTING: {
        "start": AlreadyRunning,
        "stop": (stop(),),
        "kill": KILL,
        "pause": NotRunning,
        "unpause": InvalidTransition,
        "rename": RENAME,
        "rm": RunningNotRemovable,
        "rm --force": FORCE,
    },
    Phase.RUNNING: {
        "start": AlreadyRunning,
        "stop": (stop(),),
        "kill": KILL,
        "pause": (PauseRequested(order=5),),
        "unpause": InvalidTransition,
        "rename": RENAME,
        "rm": RunningNotRemovable,
        "rm --force": FORCE,
    },
    Phase.PAUSED: {
        "start": InvalidTransition,
        "stop": (stop(), THAW),
        "kill": (*KILL, THAW),
        "pause": InvalidTransition,
        "unpause": (UnpauseRequested(order=5),),
        "rename": RENAME,
        "rm": RunningNotRemovable,
        "rm --force": FORCE,
    },
    Phase.RESTARTING: {
        "start": START,
        "stop": (stop(),),
        "kill": (stop(signal=SIGKILL, timeout_s=0),),
        "pause": InvalidTransition,
        "unpause": InvalidTransition,
        "rename": RENAME,
        "rm": RunningNotRemovable,
        "rm --force": FORCE,
    },
    Phase.EXITED: {
        "start": START,
        "stop": AlreadyStopped,
        "kill": NotRunning,
        "pause": NotRunning,
        "unpause": InvalidTransition,
        "rename": RENAME,
        "rm": REMOVE,
        "rm --force": FORCE,
    },
    Phase.REMOVING: {
        "start": InvalidTransition,
        "stop": NotRunning,
        "kill": NotRunning,
        "pause": NotRunning,
        "unpause": InvalidTransition,
        "rename": InvalidTransition,
        "rm": RemovalInProgress,
        "rm --force": RemovalInProgress,
    },
    Phase.DEAD: {
        "start": InvalidTransition,
        "stop": NotRunning,
        "kill": NotRunning,
        "pause": NotRunning,
        "unpause": InvalidTransition,
        "rename": InvalidTransition,
        "rm": REMOVE,
        "rm --force": FORCE,
    },
}
CASES = [(phase, command) for phase, row in TABLE.items() for command in row]


def test_the_table_has_every_command_in_every_phase_of_a_container_that_exists() -> None:
    assert TABLE.keys() == set(Phase) - {Phase.REMOVED}
    assert all(row.keys() == COMMANDS.keys() for row in TABLE.values())


@pytest.mark.parametrize(("phase", "command"), CASES)
def test_a_command_adds_events_or_is_refused(phase: Phase, command: str) -> None:
    outcome = TABLE[phase][command]
    if isinstance(outcome, tuple):
        assert COMMANDS[command](container(phase)) == outcome
    else:
        with pytest.raises(outcome) as refused:
            COMMANDS[command](container(phase))
        assert type(refused.value) is outcome


@pytest.mark.parametrize(("phase", "command"), CASES)
def test_what_is_decided_is_a_transition(phase: Phase, command: str) -> None:
    outcome = TABLE[phase][command]
    if not isinstance(outcome, tuple):
        return
    known = container(phase)
    for event in outcome:
        assert type(event) in TRANSITIONS[known.phase]
        known = evolve(known, event, 1)


# --- Stop ---


@pytest.mark.parametrize(
    ("spec", "asked", "expected"),
    [
        ({}, {}, stop(signal=SIGTERM, timeout_s=10)),
        ({"stop_signal": "SIGINT", "stop_timeout_s": 3}, {}, stop(signal=SIGINT, timeout_s=3)),
        (
            {"stop_signal": "SIGINT", "stop_timeout_s": 3},
            {"signal": SIGHUP, "timeout_s": 0},
            stop(signal=SIGHUP, timeout_s=0),
        ),
        ({}, {"timeout_s": -1}, stop(timeout_s=-1)),
        ({}, {"timeout_s": 10**12}, stop(timeout_s=-1)),
        ({}, {"then_start": True}, stop(then_start=True)),
    ],
    ids=["defaults", "the spec's", "as asked", "for ever", "longer than any clock", "a restart"],
)
def test_a_stop_is_as_asked_or_as_the_spec_has_it(
    spec: dict[str, Any], asked: dict[str, Any], expected: Event
) -> None:
    known = container(Phase.RUNNING, spec=replace(SPEC, **spec))
    wanted = {"signal": None, "timeout_s": None, **asked}

    assert decide_stop(known, boot_ns=BOOT_NS, **wanted) == (expected,)


# --- Signals ---


@pytest.mark.parametrize(
    ("phase", "signal", "events"),
    [
        (Phase.PAUSED, SIGUSR1, (SignalRequested(order=5, signal=SIGUSR1),)),
        (Phase.PAUSED, SIGTERM, (SignalRequested(order=5, signal=SIGTERM), THAW)),
        (Phase.RESTARTING, SIGUSR1, ()),
        (Phase.RESTARTING, SIGTERM, (stop(signal=SIGTERM, timeout_s=0),)),
    ],
)
def test_only_a_signal_that_ends_the_run_thaws_it_or_keeps_the_next_from_coming(
    phase: Phase, signal: int, events: tuple[Event, ...]
) -> None:
    assert decide_signal(container(phase), signal, BOOT_NS) == events


@pytest.mark.parametrize(
    ("phase", "deadline_boot_ns", "is_killed"),
    [
        (Phase.RUNNING, BOOT_NS, True),
        (Phase.PAUSED, BOOT_NS - 1, True),
        (Phase.RUNNING, BOOT_NS + 1, False),
        (Phase.RUNNING, None, False),
        (Phase.EXITED, BOOT_NS, False),
    ],
)
def test_sigkill_follows_at_the_end_of_the_grace(
    phase: Phase, deadline_boot_ns: int | None, is_killed: bool
) -> None:
    known = container(phase, stopping=Stopping(deadline_boot_ns=deadline_boot_ns))

    assert decide_escalation(known, BOOT_NS) == (KILL if is_killed else ())


def test_without_a_stop_nothing_is_escalated() -> None:
    assert decide_escalation(container(Phase.RUNNING), BOOT_NS) == ()


def test_sigkill_follows_once() -> None:
    known = container(Phase.RUNNING, stopping=Stopping(deadline_boot_ns=BOOT_NS))
    (kill,) = decide_escalation(known, BOOT_NS)

    assert decide_escalation(evolve(known, kill, 1), BOOT_NS) == ()


# --- The end of a run ---


def ended(known: Container, code: int = 0, **fields: Any) -> tuple[Event, ...]:
    wanted = {"signal": None, "oom": False, "reason": ExitReason.EXITED, "boot_ns": BOOT_NS}
    return decide_exited(known, code=code, **{**wanted, **fields})


def policy(name: str, retries_max: int = 0) -> Spec:
    return replace(SPEC, restart_policy=RestartPolicy(name=name, retries_max=retries_max))


@pytest.mark.parametrize(
    ("spec", "code", "fields", "is_wanted"),
    [
        (policy("no"), 1, {}, False),
        (policy("always"), 0, {}, True),
        (policy("always"), 0, {"user_stopped": True}, False),
        (policy("unless-stopped"), 0, {}, True),
        (policy("unless-stopped"), 1, {"user_stopped": True}, False),
        (policy("on-failure"), 0, {}, False),
        (policy("on-failure"), 1, {}, True),
        (policy("on-failure", 2), 1, {"restarts": 1}, True),
        (policy("on-failure", 2), 1, {"restarts": 2}, False),
        (policy("on-failure", 2), 1, {"user_stopped": True}, False),
    ],
)
def test_a_restart_policy_asks_for_another_run(
    spec: Spec, code: int, fields: dict[str, Any], is_wanted: bool
) -> None:
    known = container(Phase.RUNNING, spec=spec, **fields)

    assert should_restart(known, code) is is_wanted
    scheduled = [each for each in ended(known, code) if isinstance(each, RestartScheduled)]
    assert bool(scheduled) is is_wanted


@pytest.mark.parametrize(
    ("last_delay_s", "ran_s", "delay_s"),
    [(0.0, 1, 0.1), (0.1, 1, 0.2), (0.2, 9, 0.4), (0.4, 10, 0.1), (40.0, 1, 60.0), (60.0, 1, 60.0)],
)
def test_restarts_come_ever_later_until_a_run_has_lasted(
    last_delay_s: float, ran_s: int, delay_s: float
) -> None:
    known = container(
        Phase.RUNNING,
        spec=policy("always"),
        restart_delay_s=last_delay_s,
        started_boot_ns=BOOT_NS - ran_s * SECOND_NS,
    )

    _, scheduled = ended(known)

    due_boot_ns = BOOT_NS + round(delay_s * SECOND_NS)
    assert scheduled == RestartScheduled(delay_s=delay_s, due_boot_ns=due_boot_ns)


@pytest.mark.parametrize(
    ("phase", "fields", "follows"),
    [
        (Phase.RUNNING, {}, REMOVE),
        (Phase.RUNNING, {"stopping": Stopping(deadline_boot_ns=None)}, REMOVE),
        (Phase.RUNNING, {"stopping": Stopping(deadline_boot_ns=None, then_start=True)}, ()),
        (Phase.REMOVING, {}, ()),
    ],
    ids=["ended", "stopped", "restarted", "removed already"],
)
def test_what_removes_itself_does_so_unless_it_is_started_again(
    phase: Phase, fields: dict[str, Any], follows: tuple[Event, ...]
) -> None:
    known = container(phase, spec=replace(SPEC, auto_remove=True), **fields)

    exited, *rest = ended(known)

    assert isinstance(exited, Exited)
    assert tuple(rest) == follows


@pytest.mark.parametrize(
    ("signal", "oom", "oom_kills", "expected"),
    [
        (None, False, 0, False),
        (SIGKILL, True, 0, True),
        (SIGKILL, False, 1, True),
        (SIGKILL, False, 0, False),
        (SIGTERM, False, 1, False),
        (None, False, 1, False),
    ],
)
def test_an_end_by_sigkill_after_an_oom_kill_is_one_of_memory(
    signal: int | None, oom: bool, oom_kills: int, expected: bool
) -> None:
    known = container(Phase.RUNNING, oom_kills=oom_kills)

    (exited,) = ended(known, 137, signal=signal, oom=oom)

    assert isinstance(exited, Exited)
    assert exited.oom is expected


def test_orders_of_the_run_are_overtaken_by_its_end() -> None:
    orders = (
        Order(number=1, kind=OrderKind.SIGNAL, signal=SIGTERM),
        Order(number=2, kind=OrderKind.CONNECT),
        Order(number=3, kind=OrderKind.PAUSE),
    )

    exited, *_ = ended(container(Phase.RUNNING, orders=orders))

    assert isinstance(exited, Exited)
    assert exited.superseded == (1, 3), "a connection outlasts the run"


# --- Starts that fail ---


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (125, "no space left"),
        (
            127,
            (
                "failed to create task for container: failed to create shim task: OCI runtime create "
                "failed: runc create failed: unable to start container process: no space left: unknown"
            ),
        ),
    ],
)
def test_a_start_fails_in_dockers_words(exit_code: int, words: str) -> None:
    failed = StartFailed(message=words, exit_code=exit_code)
    known = container(Phase.STARTING)
    temporary = container(Phase.STARTING, spec=replace(SPEC, auto_remove=True))

    assert decide_start_failed(known, "no space left", exit_code) == (failed,)
    assert decide_start_failed(temporary, "no space left", exit_code) == (failed, *REMOVE)


def test_a_restart_that_can_not_be_tried_keeps_the_last_exit_code() -> None:
    known = container(Phase.EXITED, exit_code=3)

    events = decide_not_started(known, "no address is free")

    assert events == (
        StartRequested(run=2),
        StartFailed(message="no address is free", exit_code=3),
    )


# --- A life ---


def test_a_life_is_what_its_events_say() -> None:
    born = evolve(None, Created(id=ID, name="c", spec=policy("always")), 1)
    assert (born.phase, born.created_ns, born.run) == (Phase.CREATED, 1, 0)

    starting = evolve(born, StartRequested(run=1, sandbox=SANDBOX), 2)
    assert (starting.phase, starting.sandbox) == (Phase.STARTING, SANDBOX)

    (*_, scheduled) = ended(container(Phase.RUNNING, spec=policy("always")))
    exited = evolve(
        container(Phase.RUNNING, drift=("cgroup",), health=None),
        Exited(code=3, signal=None, oom=False, reason=ExitReason.EXITED, superseded=()),
        5,
    )
    assert (exited.phase, exited.exit_code, exited.finished_ns) == (Phase.EXITED, 3, 5)
    assert (exited.process, exited.drift, exited.exits) == (None, (), 1)

    waiting = evolve(exited, scheduled, 6)
    assert (waiting.phase, waiting.is_restarting) == (Phase.RESTARTING, True)

    again = evolve(waiting, StartRequested(run=2, sandbox=SandboxId("b" * 16)), 7)
    assert (again.run, again.restarts, again.restart_due_boot_ns) == (2, 1, 0)

    by_hand = evolve(exited, StartRequested(run=2), 7)
    assert (by_hand.restarts, by_hand.restart_delay_s) == (0, 0.0)
