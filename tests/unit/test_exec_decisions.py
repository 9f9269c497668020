"""Test the decisions and events of execs, phase by phase."""

from typing import Any

import pytest

from engine.domain.container.events import ProcessIdentity
from engine.domain.event import Event
from engine.domain.exec.state import (
    TRANSITIONS,
    UNSTARTED_MAX_NS,
    Exec,
    ExecCreated,
    ExecDetached,
    ExecExited,
    ExecNotStartable,
    ExecPhase,
    ExecSpec,
    ExecStarted,
    ExecStartFailed,
    ExecStartRequested,
    decide_exec_detached,
    decide_exec_expired,
    decide_exec_lost,
    decide_exec_start,
    evolve,
)
from engine.domain.ids import ContainerId, ExecId

ID, CONTAINER = ExecId("e" * 64), ContainerId("c" * 64)
SPEC = ExecSpec(arguments=("ls",))
PROCESS = ProcessIdentity(pid=7, start_ticks=70, boot_id="boot")
CREATED, STARTING, RUNNING, ENDED = ExecPhase


def execution(phase: ExecPhase, **fields: Any) -> Exec:
    known = {"id": ID, "container": CONTAINER, "spec": SPEC, "created_ns": 1}
    return Exec(**{**known, **fields}, phase=phase)


def test_an_exec_is_started_once() -> None:
    assert decide_exec_start(execution(CREATED), detach=True) == (ExecStartRequested(detach=True),)

    for phase, words in {
        STARTING: "already running",
        RUNNING: "already running",
        ENDED: "already run",
    }.items():
        with pytest.raises(ExecNotStartable, match=words):
            decide_exec_start(execution(phase), detach=False)


@pytest.mark.parametrize(
    ("phase", "fields", "events"),
    [
        (CREATED, {}, ()),
        (STARTING, {}, (ExecDetached(),)),
        (RUNNING, {}, (ExecDetached(),)),
        (RUNNING, {"detached": True}, ()),
        (ENDED, {}, ()),
    ],
)
def test_a_client_lets_go_once(
    phase: ExecPhase, fields: dict[str, Any], events: tuple[Event, ...]
) -> None:
    assert decide_exec_detached(execution(phase, **fields)) == events


@pytest.mark.parametrize(
    ("phase", "created_ns", "age_ns", "expires"),
    [
        (CREATED, 1, UNSTARTED_MAX_NS, True),
        (CREATED, 1, UNSTARTED_MAX_NS - 1, False),
        (CREATED, 0, UNSTARTED_MAX_NS, False),
        (STARTING, 1, UNSTARTED_MAX_NS, False),
        (RUNNING, 1, UNSTARTED_MAX_NS, False),
        (ENDED, 1, UNSTARTED_MAX_NS, False),
    ],
)
def test_what_nobody_starts_expires(
    phase: ExecPhase, created_ns: int, age_ns: int, expires: bool
) -> None:
    failed = ExecStartFailed(message="nobody has started it", exit_code=126)

    events = decide_exec_expired(execution(phase, created_ns=created_ns), created_ns + age_ns)

    assert events == ((failed,) if expires else ())


@pytest.mark.parametrize(
    ("phase", "events"),
    [
        (CREATED, (ExecStartFailed(message="the container has ended", exit_code=126),)),
        (STARTING, (ExecStartFailed(message="the container has ended", exit_code=126),)),
        (RUNNING, (ExecExited(code=255),)),
        (ENDED, ()),
    ],
)
def test_the_end_of_the_container_is_its_end(phase: ExecPhase, events: tuple[Event, ...]) -> None:
    known = execution(phase)

    assert decide_exec_lost(known) == events
    for event in events:
        known = evolve(known, event, 1)
    assert known.phase is ENDED


def test_a_life_is_what_its_events_say() -> None:
    created = evolve(None, ExecCreated(id=ID, container=CONTAINER, spec=SPEC), 5)
    starting = evolve(created, ExecStartRequested(), 6)
    running = evolve(starting, ExecStarted(process=PROCESS), 7)
    detached = evolve(running, ExecDetached(), 8)
    ended = evolve(detached, ExecExited(code=3), 9)

    assert created == execution(CREATED, created_ns=5)
    assert starting == execution(STARTING, created_ns=5)
    assert running == execution(RUNNING, created_ns=5, process=PROCESS)
    assert detached == execution(RUNNING, created_ns=5, process=PROCESS, detached=True)
    assert ended == execution(ENDED, created_ns=5, process=PROCESS, detached=True, exit_code=3)


@pytest.mark.parametrize(("phase", "was_dropped"), [(CREATED, True), (STARTING, False)])
def test_one_that_was_never_started_is_no_more_to_clients(
    phase: ExecPhase, was_dropped: bool
) -> None:
    failed = evolve(execution(phase), ExecStartFailed(message="no", exit_code=126), 1)

    assert (failed.phase, failed.error, failed.exit_code) == (ENDED, "no", 126)
    assert failed.was_dropped is was_dropped


def test_nothing_happens_after_the_end() -> None:
    assert TRANSITIONS[ENDED] == {}
    with pytest.raises(KeyError):
        evolve(execution(ENDED), ExecExited(code=0), 1)
