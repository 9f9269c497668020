"""Merge a client's health check with the image's, and show a container's health.

Refusals are dockerd's (``validateHealthCheck`` of moby's ``daemon/container.go``).
"""

from collections.abc import Iterator
from typing import Final

from engine.api.http.json_bodies import Int64, Json, Wire
from engine.api.times import stamp
from engine.domain.container.health import NO_CHECK, HealthStatus, ProbeResult
from engine.domain.container.state import Container
from engine.domain.image.config import Healthcheck
from engine.errors import InvalidRequest

_SPAN_MIN_NS: Final = 1_000_000
_KINDS: Final = ("NONE", "CMD", "CMD-SHELL")


class HealthcheckWire(Wire, frozen=True, kw_only=True):
    """Docker's HealthConfig: spans in nanoseconds; 0 is the image's, or the default."""

    test: list[str] | None = None
    interval: Int64 | None = None
    timeout: Int64 | None = None
    start_period: Int64 | None = None
    start_interval: Int64 | None = None
    retries: Int64 | None = None


def healthcheck_of(
    asked: HealthcheckWire | None, default: Healthcheck | None
) -> Healthcheck | None:
    """Merge the requested check with the image's, field by field.

    Raises:
        InvalidRequest: a span that is too short, or a negative count.
    """
    if asked is None:
        return default
    image = default or Healthcheck()
    _check_spans(asked)
    if (asked.retries or 0) < 0:
        raise InvalidRequest("Retries in Healthcheck cannot be negative")
    return Healthcheck(
        test=tuple(asked.test or image.test),
        interval=asked.interval or image.interval,
        timeout=asked.timeout or image.timeout,
        start_period=asked.start_period or image.start_period,
        start_interval=asked.start_interval or image.start_interval,
        retries=asked.retries or image.retries,
    )


def _check_spans(asked: HealthcheckWire) -> None:
    for name, span_ns in (
        ("Interval", asked.interval),
        ("Timeout", asked.timeout),
        ("StartPeriod", asked.start_period),
        ("StartInterval", asked.start_interval),
    ):
        if span_ns and span_ns < _SPAN_MIN_NS:
            raise InvalidRequest(f"{name} in Healthcheck cannot be less than 1ms")


def health_warnings(check: Healthcheck | None) -> Iterator[str]:
    """Warn about a check of an unknown kind, which is never run. Docker says so in its own log
    only.
    """
    if check is not None and check.test and check.test[0] not in _KINDS:
        yield f"Unknown healthcheck type '{check.test[0]}' (expected 'CMD'). Healthcheck ignored."


def health_json(container: Container) -> Json:
    """Return ``State.Health``, or nothing if there is no check."""
    if container.health is None:
        return {}
    return {
        "Health": {
            "Status": container.health.status,
            "FailingStreak": container.health.failing_streak,
            "Log": [_result_json(result) for result in container.health.log],
        }
    }


def _result_json(result: ProbeResult) -> Json:
    return {
        "Start": stamp(result.started_ns),
        "End": stamp(result.ended_ns),
        "ExitCode": result.exit_code,
        "Output": result.output,
    }


def health_name(container: Container) -> str:
    """Return the status that the filter ``health`` compares."""
    return container.health.status if container.health else NO_CHECK


def health_suffix(container: Container) -> str:
    """Return what follows ``Up 3 seconds``."""
    if container.health is None:
        return ""
    status = container.health.status
    return f" (health: {status})" if status is HealthStatus.STARTING else f" ({status})"
