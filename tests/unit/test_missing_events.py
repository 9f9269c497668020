"""Test which events an observation adds: each fact once, each absence with its reason."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as changed

from engine.domain.container.events import (
    AttachClosed,
    DriftDetected,
    DriftRepaired,
    Exited,
    ExitReason,
    LogLost,
    Order,
    OrderKind,
    OutOfMemory,
    ProcessIdentity,
    RemoveRequested,
    RestartScheduled,
    SignalRequested,
    Started,
    StartFailed,
    Stopping,
)
from engine.domain.container.phases import Phase
from engine.domain.container.spec import RestartPolicy, Spec
from engine.domain.container.state import Container
from engine.domain.event import MONITOR, SUPERVISOR, Actor, Event
from engine.domain.exec.state import (
    Exec,
    ExecDetached,
    ExecExited,
    ExecPhase,
    ExecSpec,
    ExecStarted,
    ExecStartFailed,
)
from engine.domain.ids import ContainerId, ExecId, ImageId, SandboxId
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
)
from engine.runtime.facts import Stamp
from engine.supervisor.missing_events import Conclusion, conclude, conclude_facts

ID, RUN = ContainerId("c" * 64), ExecId("e" * 64)
SPEC = Spec(image="busybox", image_id=ImageId("sha256:" + "1" * 64), command=("sleep",))
AT_NS, BOOT_NS = 1_000_000, 500
STAMP = Stamp(1, AT_NS, BOOT_NS)
MONITOR_PROCESS = ProcessIdentity(pid=6, start_ticks=60, boot_id="boot")
PROCESS = ProcessIdentity(pid=7, start_ticks=70, boot_id="boot")
BEGAN = MonitorBegan(6, 60, "boot", stamp=STAMP)
STARTED = ProcessStarted(7, 70, "boot", stamp=STAMP)

ALIVE = Observation(
    boot_id="boot",
    monitor_alive=True,
    process_alive=True,
    sandbox=Presence.RIGHT,
    cgroup=Presence.RIGHT,
    bundle=Presence.RIGHT,
    files=Presence.RIGHT,
)
ENDING = replace(ALIVE, process_alive=False)
DEAD = replace(ALIVE, monitor_alive=False, process_alive=False)


def container(phase: Phase, **fields: Any) -> Container:
    """A container; one that runs has a process and a monitor."""
    runs = phase in (Phase.RUNNING, Phase.PAUSED)
    known = {"id": ID, "name": "c", "spec": SPEC, "created_ns": 1, "sandbox": SandboxId("a" * 16)}
    process = {"process": PROCESS, "monitor": MONITOR_PROCESS} if runs else {}
    return Container(**{**known, **process, **fields}, phase=phase)


def execution(phase: ExecPhase, **fields: Any) -> Exec:
    return Exec(id=RUN, container=ID, spec=ExecSpec(arguments=("ls",)), phase=phase, **fields)


def concluded(
    known: Container, observed: Observation, *execs: Exec, boot_ns: int = BOOT_NS
) -> list[Conclusion]:
    return list(conclude(known, {each.id: each for each in execs}, observed, None, boot_ns))


def observation_of(*facts: Fact, by: Observation = ALIVE) -> Observation:
    return replace(by, facts=facts)


def added(*events: Event, actor: Actor = MONITOR, at_ns: int | None = AT_NS) -> Conclusion:
    return Conclusion(container_stream(ID), events, actor, at_ns)


def added_to_exec(event: Event, actor: Actor = MONITOR, at_ns: int | None = AT_NS) -> Conclusion:
    return Conclusion(exec_stream(ID, RUN), (event,), actor, at_ns)


def exited(code: int = 3, **fields: Any) -> Exited:
    known = {"signal": None, "oom": False, "reason": ExitReason.EXITED, "superseded": ()}
    return Exited(code=code, **{**known, **fields})


# --- Facts ---

RUNNING, STARTING = container(Phase.RUNNING), container(Phase.STARTING)
STARTED_EVENT = Started(process=PROCESS, monitor=MONITOR_PROCESS, boot_ns=BOOT_NS)


@pytest.mark.parametrize(
    ("known", "facts", "events"),
    [
        (STARTING, (BEGAN,), []),
        (STARTING, (BEGAN, STARTED), [STARTED_EVENT]),
        (
            STARTING,
            (BEGAN, STARTED, ProcessExited(3, None, oom=False, stamp=STAMP)),
            [STARTED_EVENT, exited()],
        ),
        (RUNNING, (ProcessExited(3, None, oom=False, stamp=STAMP),), [exited()]),
        (
            RUNNING,
            (ProcessExited(137, 9, oom=True, stamp=STAMP),),
            [exited(137, signal=9, oom=True)],
        ),
        (RUNNING, (MemoryExhausted(2, stamp=STAMP),), [OutOfMemory(count=2)]),
        (RUNNING, (LogDropped(10, stamp=STAMP),), [LogLost(count_bytes=10)]),
        (
            container(Phase.RUNNING, attachments=("a", "b")),
            (AttachEnded("a", "eof", stamp=STAMP),),
            [AttachClosed(attach="a", reason="eof")],
        ),
    ],
    ids=[
        "the monitor has begun",
        "started",
        "started and exited",
        "exited",
        "killed",
        "out of memory",
        "log lost",
        "attachment ended",
    ],
)
def test_a_fact_becomes_an_event_at_its_own_time(
    known: Container, facts: tuple[Fact, ...], events: list[Event]
) -> None:
    observed = observation_of(*facts, by=ENDING)

    assert concluded(known, observed) == [added(event) for event in events]


@pytest.mark.parametrize(
    ("known", "fact"),
    [
        (RUNNING, STARTED),
        (container(Phase.EXITED), ProcessExited(3, None, oom=False, stamp=STAMP)),
        (container(Phase.RUNNING, oom_kills=2), MemoryExhausted(2, stamp=STAMP)),
        (container(Phase.RUNNING, log_lost_bytes=10), LogDropped(10, stamp=STAMP)),
        (RUNNING, AttachEnded("a", "eof", stamp=STAMP)),
        (RUNNING, ProcessNotStarted("execve", 2, "nope", 127, stamp=STAMP)),
        (RUNNING, ExecProcessStarted(RUN, 8, 80, "boot", stamp=STAMP)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_fact_that_the_state_has_moved_past_adds_nothing(known: Container, fact: Fact) -> None:
    observed = observation_of(BEGAN, fact, by=ALIVE if known.is_running else DEAD)

    assert concluded(known, observed) == []


def test_facts_that_were_concluded_from_add_nothing_when_they_are_read_again() -> None:
    observed = observation_of(BEGAN, STARTED)
    running = changed(STARTING, phase=Phase.RUNNING, process=PROCESS, monitor=MONITOR_PROCESS)

    assert concluded(STARTING, observed) == [added(STARTED_EVENT)]
    assert concluded(running, observed) == []


def test_facts_without_an_observation_conclude_nothing_else() -> None:
    facts = (BEGAN, STARTED)

    assert conclude_facts(STARTING, {}, facts, None) == (added(STARTED_EVENT),)
    assert conclude_facts(STARTING, {}, (STARTED,), MONITOR_PROCESS) == (added(STARTED_EVENT),)
    assert conclude_facts(RUNNING, {}, (), None) == ()


def test_a_start_that_failed_is_reported_in_dockers_words() -> None:
    fact = ProcessNotStarted("execve", 2, 'exec: "nope": not found', 127, stamp=STAMP)

    (conclusion,) = concluded(STARTING, observation_of(BEGAN, fact, by=DEAD))

    (failed,) = conclusion.events
    assert isinstance(failed, StartFailed)
    assert failed.exit_code == 127
    assert 'process: exec: "nope": not found: unknown' in failed.message
    assert (conclusion.actor, conclusion.at_ns) == (MONITOR, AT_NS)


def test_what_follows_from_an_exit_comes_with_it() -> None:
    always = changed(SPEC, restart_policy=RestartPolicy(name="always"))
    temporary = changed(SPEC, auto_remove=True)
    fact = ProcessExited(3, None, oom=False, stamp=STAMP)

    (restarted,) = concluded(container(Phase.RUNNING, spec=always), observation_of(fact, by=DEAD))
    (removed,) = concluded(container(Phase.RUNNING, spec=temporary), observation_of(fact, by=DEAD))

    assert [type(each) for each in restarted.events] == [Exited, RestartScheduled]
    assert [type(each) for each in removed.events] == [Exited, RemoveRequested]


def test_an_exit_leaves_the_orders_that_it_overtook_undone() -> None:
    orders = (
        Order(number=1, kind=OrderKind.SIGNAL, signal=15),
        Order(number=2, kind=OrderKind.PAUSE),
    )
    fact = ProcessExited(3, None, oom=False, stamp=STAMP)

    (conclusion,) = concluded(
        container(Phase.RUNNING, orders=orders), observation_of(fact, by=DEAD)
    )

    assert conclusion == added(exited(superseded=(1, 2)))


# --- Absence ---


@pytest.mark.parametrize(
    ("boot_id", "reason"), [("boot", ExitReason.MONITOR_LOST), ("next", ExitReason.REBOOT)]
)
@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.PAUSED])
def test_a_run_that_vanished_without_a_record_has_ended(
    phase: Phase, boot_id: str, reason: ExitReason
) -> None:
    found = concluded(container(phase), replace(DEAD, boot_id=boot_id))

    assert found == [added(exited(255, reason=reason), actor=SUPERVISOR, at_ns=None)]


def test_a_run_whose_process_or_monitor_lives_has_not_ended() -> None:
    assert concluded(RUNNING, replace(ALIVE, monitor_alive=False)) == []
    assert concluded(RUNNING, replace(ALIVE, process_alive=False)) == []


def test_a_start_whose_monitor_died_has_failed() -> None:
    words = "the container's monitor died during the start"
    failed = StartFailed(message=words, exit_code=125)

    found = concluded(STARTING, observation_of(BEGAN, by=DEAD))

    assert found == [added(failed, actor=SUPERVISOR, at_ns=None)]


def test_a_start_that_was_never_launched_goes_on() -> None:
    assert concluded(STARTING, DEAD) == []


# --- Execs ---


@pytest.mark.parametrize(
    ("phase", "fact", "event"),
    [
        (
            ExecPhase.STARTING,
            ExecProcessStarted(RUN, 7, 70, "boot", stamp=STAMP),
            ExecStarted(process=PROCESS),
        ),
        (
            ExecPhase.STARTING,
            ExecProcessNotStarted(RUN, "nope", 127, stamp=STAMP),
            ExecStartFailed(message="nope", exit_code=127),
        ),
        (ExecPhase.RUNNING, ExecProcessExited(RUN, 3, stamp=STAMP), ExecExited(code=3)),
        (ExecPhase.RUNNING, AttachEnded(RUN, DETACHED, stamp=STAMP), ExecDetached()),
        (ExecPhase.STARTING, AttachEnded(RUN, DETACHED, stamp=STAMP), ExecDetached()),
        (ExecPhase.RUNNING, AttachEnded(RUN, ENDED, stamp=STAMP), None),
        (ExecPhase.RUNNING, ExecProcessStarted(RUN, 7, 70, "boot", stamp=STAMP), None),
        (ExecPhase.STARTING, ExecProcessExited(RUN, 3, stamp=STAMP), None),
        (ExecPhase.ENDED, ExecProcessExited(RUN, 3, stamp=STAMP), None),
    ],
)
def test_a_fact_of_an_exec_is_an_event_of_that_exec(
    phase: ExecPhase, fact: Fact, event: Event | None
) -> None:
    found = concluded(RUNNING, observation_of(fact), execution(phase))

    assert found == ([] if event is None else [added_to_exec(event)])


def test_facts_of_one_exec_follow_each_other() -> None:
    facts = (
        ExecProcessStarted(RUN, 7, 70, "boot", stamp=STAMP),
        ExecProcessExited(RUN, 3, stamp=STAMP),
    )

    found = concluded(RUNNING, observation_of(*facts), execution(ExecPhase.STARTING))

    assert [each.events for each in found] == [
        (ExecStarted(process=PROCESS),),
        (ExecExited(code=3),),
    ]


@pytest.mark.parametrize(
    ("phase", "event"),
    [
        (ExecPhase.CREATED, ExecStartFailed(message="the container has ended", exit_code=126)),
        (ExecPhase.STARTING, ExecStartFailed(message="the container has ended", exit_code=126)),
        (ExecPhase.RUNNING, ExecExited(code=255)),
        (ExecPhase.ENDED, None),
    ],
)
def test_the_end_of_a_container_ends_its_execs(phase: ExecPhase, event: Event | None) -> None:
    ended = container(Phase.EXITED)
    expected = [] if event is None else [added_to_exec(event, SUPERVISOR, None)]

    assert concluded(ended, DEAD, execution(phase)) == expected
    assert concluded(RUNNING, ALIVE, execution(phase)) == []


def test_execs_of_the_last_run_wait_for_the_start() -> None:
    assert concluded(STARTING, ALIVE, execution(ExecPhase.RUNNING)) == []


def test_the_removal_of_a_container_ends_its_attachments() -> None:
    going = container(Phase.REMOVING, attachments=("a", "b"))

    closed = [
        added(AttachClosed(attach=attach, reason=ENDED), actor=SUPERVISOR, at_ns=None)
        for attach in ("a", "b")
    ]
    assert concluded(going, DEAD) == closed


# --- Time ---


def test_the_end_of_a_stops_grace_is_sigkill() -> None:
    stopping = container(Phase.RUNNING, stopping=Stopping(deadline_boot_ns=1000), orders_given=1)
    kill = SignalRequested(order=2, signal=9)

    assert concluded(stopping, ALIVE, boot_ns=999) == []
    assert concluded(stopping, ALIVE, boot_ns=1000) == [added(kill, actor=SUPERVISOR, at_ns=None)]


# --- Drift ---


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"sandbox": Presence.DAMAGED}, "sandbox"),
        ({"sandbox": Presence.ABSENT}, "sandbox"),
        ({"cgroup": Presence.DAMAGED}, "cgroup"),
        ({"files": Presence.ABSENT}, "files"),
        ({"files": Presence.DAMAGED}, None),
        ({"bundle": Presence.ABSENT}, None),
    ],
)
def test_unordered_changes_are_detected_once_and_repaired_once(
    changes: dict[str, Any], what: str | None
) -> None:
    observed = replace(ALIVE, **changes)
    if what is None:
        assert concluded(RUNNING, observed) == []
        return
    drifted = container(Phase.RUNNING, drift=(what,))

    detected, repaired = DriftDetected(what=what), DriftRepaired(what=what)
    assert concluded(RUNNING, observed) == [added(detected, actor=SUPERVISOR, at_ns=None)]
    assert concluded(drifted, observed) == []
    assert concluded(drifted, ALIVE) == [added(repaired, actor=SUPERVISOR, at_ns=None)]


def test_what_does_not_run_does_not_drift() -> None:
    assert concluded(container(Phase.EXITED), Observation(boot_id="boot")) == []
    assert (
        concluded(container(Phase.RUNNING, sandbox=None), replace(ALIVE, sandbox=Presence.ABSENT))
        == []
    )
