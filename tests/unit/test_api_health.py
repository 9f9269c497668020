"""Test health checks at the API's edge; the refusals are those of dockerd 20.10."""

import pytest
from msgspec.structs import replace

from engine.api.containers.spec.health import (
    HealthcheckWire,
    health_json,
    health_name,
    health_suffix,
    health_warnings,
    healthcheck_of,
)
from engine.domain.container.health import Health, HealthStatus, ProbeResult
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ImageId
from engine.domain.image.config import Healthcheck
from engine.errors import InvalidRequest

CONTAINER = Container(
    id=ContainerId("a" * 64),
    name="web",
    spec=Spec(image="x", image_id=ImageId("sha256:1")),
    created_ns=0,
)
IMAGE = Healthcheck(test=("CMD", "image"), interval=5_000_000_000, retries=7)


def test_an_image_s_check_holds_where_nothing_else_is_asked() -> None:
    assert healthcheck_of(None, IMAGE) == IMAGE
    assert healthcheck_of(None, None) is None
    assert healthcheck_of(HealthcheckWire(test=[]), IMAGE) == IMAGE


def test_what_is_asked_is_laid_over_the_image_s_field_by_field() -> None:
    asked = HealthcheckWire(test=["CMD-SHELL", "mine"], timeout=1_000_000, interval=0)

    found = healthcheck_of(asked, IMAGE)

    assert found == Healthcheck(
        test=("CMD-SHELL", "mine"), interval=5_000_000_000, timeout=1_000_000, retries=7
    )
    none = healthcheck_of(HealthcheckWire(test=["NONE"]), IMAGE)
    assert none is not None
    assert none.test == ("NONE",)


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (HealthcheckWire(interval=5), "Interval in Healthcheck cannot be less than 1ms"),
        (HealthcheckWire(interval=-(10**9)), "Interval in Healthcheck cannot be less than 1ms"),
        (HealthcheckWire(timeout=999_999), "Timeout in Healthcheck cannot be less than 1ms"),
        (HealthcheckWire(start_period=1), "StartPeriod in Healthcheck cannot be less than 1ms"),
        (HealthcheckWire(start_interval=1), "StartInterval in Healthcheck cannot be less than 1ms"),
        (HealthcheckWire(retries=-1), "Retries in Healthcheck cannot be negative"),
        (HealthcheckWire(test=["NONE"], interval=3), "Interval in Healthcheck cannot be less"),
    ],
)
def test_bad_values_are_refused_in_docker_s_words(asked: HealthcheckWire, refusal: str) -> None:
    with pytest.raises(InvalidRequest, match=refusal):
        healthcheck_of(asked, None)


def test_a_check_of_an_unknown_kind_is_warned_about() -> None:
    warning = "Unknown healthcheck type 'FOO' (expected 'CMD'). Healthcheck ignored."
    assert list(health_warnings(Healthcheck(test=("FOO", "x")))) == [warning]
    assert not list(health_warnings(Healthcheck(test=("NONE",))))
    assert not list(health_warnings(IMAGE))
    assert not list(health_warnings(None))


def test_health_is_shown_where_there_is_a_check() -> None:
    result = ProbeResult(started_ns=10**18, ended_ns=10**18 + 5, exit_code=-1, output="slow\n")
    health = Health(status=HealthStatus.UNHEALTHY, failing_streak=3, log=(result,))

    assert health_json(CONTAINER) == {}
    assert health_json(replace(CONTAINER, health=health)) == {
        "Health": {
            "Status": "unhealthy",
            "FailingStreak": 3,
            "Log": [
                {
                    "Start": "2001-09-09T01:46:40Z",
                    "End": "2001-09-09T01:46:40.000000005Z",
                    "ExitCode": -1,
                    "Output": "slow\n",
                }
            ],
        }
    }


@pytest.mark.parametrize(
    ("status", "suffix"),
    [("starting", " (health: starting)"), ("healthy", " (healthy)"), ("unhealthy", " (unhealthy)")],
)
def test_the_list_shows_the_health_status(status: str, suffix: str) -> None:
    container = replace(CONTAINER, health=Health(status=HealthStatus(status)))

    assert (health_name(container), health_suffix(container)) == (status, suffix)
    assert (health_name(CONTAINER), health_suffix(CONTAINER)) == ("none", "")
