"""Test how the results of a check are judged: the rules of moby's ``daemon/health.go``."""

import pytest

from engine.domain.container import evolution as life
from engine.domain.container.events import (
    Created,
    Exited,
    Paused,
    PauseRequested,
    ProcessIdentity,
    Started,
    StartRequested,
    Unpaused,
    UnpauseRequested,
)
from engine.domain.container.health import (
    Health,
    HealthChanged,
    HealthStatus,
    ProbeResult,
    interval_ns,
    is_checked,
    judge,
    probe_arguments,
    timeout_text,
)
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.event import Event
from engine.domain.ids import ContainerId, ImageId
from engine.domain.image.config import Healthcheck

MS_NS = 1_000_000
SECOND_NS = 1000 * MS_NS
CHECK = Healthcheck(test=("CMD", "true"), retries=2, start_period=10 * SECOND_NS)
PROCESS = ProcessIdentity(pid=1, start_ticks=1, boot_id="boot")


def answer(code: int) -> ProbeResult:
    return ProbeResult(started_ns=1, ended_ns=2, exit_code=code, output=f"said {code}")


def judged(*codes: int, health: Health | None = None, age_s: int = 60) -> Health:
    health = health or Health()
    for code in codes:
        health = judge(health, CHECK, answer(code), age_s * SECOND_NS)
    return health


def test_the_first_success_is_health() -> None:
    assert judged(0).status is HealthStatus.HEALTHY


def test_only_failures_in_a_row_count() -> None:
    assert judged(1).status is HealthStatus.STARTING
    assert judged(0, 1, 0, 1).status is HealthStatus.HEALTHY
    assert judged(0, 1, 1).status is HealthStatus.UNHEALTHY
    assert judged(0, 1, 1, 7).failing_streak == 3
    assert judged(1, 1, 0) == Health(
        status=HealthStatus.HEALTHY, log=(answer(1), answer(1), answer(0))
    )


def test_three_failures_are_enough_by_default() -> None:
    health = Health()
    for code in (1, 1, 1):
        assert health.status is HealthStatus.STARTING
        health = judge(health, Healthcheck(test=("CMD", "x")), answer(code), SECOND_NS)

    assert health.status is HealthStatus.UNHEALTHY


def test_failures_of_the_start_period_do_not_count_until_a_success_has_ended_it() -> None:
    early = judged(1, 1, 1, age_s=9)
    assert (early.status, early.failing_streak, len(early.log)) == (HealthStatus.STARTING, 0, 3)

    assert judged(0, 1, 1, age_s=9).status is HealthStatus.UNHEALTHY


def test_the_last_five_answers_are_kept() -> None:
    assert [each.exit_code for each in judged(*range(8)).log] == [3, 4, 5, 6, 7]


def test_the_start_period_has_an_interval_of_its_own() -> None:
    starting, healthy = HealthStatus.STARTING, HealthStatus.HEALTHY

    assert interval_ns(CHECK, starting, 9 * SECOND_NS) == 5 * SECOND_NS
    assert interval_ns(CHECK, starting, 10 * SECOND_NS) == 30 * SECOND_NS
    assert interval_ns(CHECK, healthy, 9 * SECOND_NS) == 30 * SECOND_NS


def test_what_is_executed() -> None:
    shell = Healthcheck(test=("CMD-SHELL", "test -e /x"))

    assert probe_arguments(Healthcheck(test=("CMD", "a", "b c")), ()) == ("a", "b c")
    assert probe_arguments(shell, ()) == ("/bin/sh", "-c", "test -e /x")
    assert probe_arguments(shell, ("/bin/bash", "-lc")) == ("/bin/bash", "-lc", "test -e /x")


@pytest.mark.parametrize("test", [(), ("NONE",), ("FOO", "x")])
def test_some_checks_ask_nothing(test: tuple[str, ...]) -> None:
    assert not is_checked(Healthcheck(test=test))
    assert not is_checked(None)


@pytest.mark.parametrize(
    ("timeout_ns", "text"),
    [
        (0, "30s"),
        (1500 * MS_NS, "1.5s"),
        (1 * MS_NS, "1ms"),
        (1 * MS_NS + 1, "1.000001ms"),
        (120 * MS_NS, "120ms"),
        (90 * SECOND_NS, "1m30s"),
        (3600 * SECOND_NS, "1h0m0s"),
    ],
)
def test_a_timeout_is_reported_in_the_words_of_go(timeout_ns: int, text: str) -> None:
    check = Healthcheck(test=("CMD", "x"), timeout=timeout_ns)

    assert timeout_text(check, "") == f"Health check exceeded timeout ({text})"
    assert timeout_text(check, "out") == f"Health check exceeded timeout ({text}): out"


# --- In a container's life ---


def lived(*events: Event, check: Healthcheck | None = CHECK) -> Container:
    spec = Spec(image="x", image_id=ImageId("sha256:1"), healthcheck=check)
    container: Container | None = None
    for event in (Created(id=ContainerId("a" * 64), name="web", spec=spec), *events):
        container = life.evolve(container, event, 1)
    assert container is not None
    return container


RUN = (StartRequested(run=1), Started(process=PROCESS, monitor=PROCESS, boot_ns=1))
HEALTHY = HealthChanged(status=HealthStatus.HEALTHY, failing_streak=0, result=answer(0))


def status(*events: Event) -> HealthStatus:
    health = lived(*events).health
    assert health is not None
    return health.status


def test_a_container_without_a_check_has_no_health() -> None:
    assert lived(*RUN, check=None).health is None
    assert lived(*RUN, check=Healthcheck(test=("NONE",))).health is None
    assert lived().health is None, "it has never run"


def test_every_run_begins_anew() -> None:
    assert status(*RUN) is HealthStatus.STARTING
    assert status(*RUN, HEALTHY) is HealthStatus.HEALTHY

    again = lived(*RUN, HEALTHY, Exited(code=0), *RUN).health

    assert again == Health(log=(answer(0),))


def test_a_container_is_unhealthy_once_paused_or_ended() -> None:
    paused = (*RUN, HEALTHY, PauseRequested(order=1), Paused(order=1))
    assert status(*paused) is HealthStatus.UNHEALTHY
    unpaused = (*paused, UnpauseRequested(order=2), Unpaused(order=2))
    assert status(*unpaused) is HealthStatus.UNHEALTHY
    assert status(*unpaused, HEALTHY) is HealthStatus.HEALTHY
    assert status(*RUN, HEALTHY, Exited(code=0)) is HealthStatus.UNHEALTHY
