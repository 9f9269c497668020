"""Define a container's health: its check, its status, and the events of both.

Theory of operation
===================

::

                    exits with 0
     Started ──▶ STARTING ─────────▶ HEALTHY ◀────────┐
                    │                   │ ``retries``   │ exits with 0
                    │ ``retries``       ▼ in a row      │
                    └─────────────▶ UNHEALTHY ────────┘

A check runs every few seconds, for months; only a change of status is an event (``HealthChanged``,
with the result that caused it). Single probes, which to Docker are execs with three events each,
are too many for the log. The last few results, and a streak of failures that has not reached the
threshold, are in the daemon's memory; after its death the streak starts anew, and the status is
what it was.

The rules are those of moby's ``daemon/health.go``, two odd ones included: a check that stands
still, because its container is paused or has ended, makes the container unhealthy without an event;
and failures during the start period do not count, whereas a success ends the period.
"""

from enum import StrEnum
from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

from engine.domain.event import Event
from engine.domain.image.config import Healthcheck

INTERVAL_DEFAULT_NS: Final = 30_000_000_000
TIMEOUT_DEFAULT_NS: Final = 30_000_000_000
START_INTERVAL_DEFAULT_NS: Final = 5_000_000_000
RETRIES_DEFAULT: Final = 3
SHELL_DEFAULT: Final = ("/bin/sh", "-c")

OUTPUT_BYTES_MAX: Final = 4096
"""How much of a probe's output is kept; what is longer ends in three dots."""
LOG_MAX: Final = 5
"""How many results ``inspect`` shows."""
NO_EXIT_CODE: Final = -1
"""Of a probe that timed out, or could not be run."""

_MILLISECOND_NS: Final = 1_000_000
_SECOND_NS: Final = 1_000_000_000


class HealthStatus(StrEnum):
    """What a check has found out, in Docker's words."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


NO_CHECK: Final = "none"
"""What Docker calls the health of a container that has none."""


class ProbeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one probe."""

    started_ns: int
    """Wall clock, as ``ended_ns``."""
    ended_ns: int
    exit_code: int
    output: str
    """Both streams together, the beginning of it."""


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The health of a container, as far as its check knows."""

    status: HealthStatus = HealthStatus.STARTING
    failing_streak: int = 0
    log: tuple[ProbeResult, ...] = ()
    """The last results, the newest last. The log alone has one: that which changed the status."""


class HealthChanged(Event, frozen=True, kw_only=True):
    """A check has found another status than before."""

    TYPE: ClassVar[str] = "container_health_changed"
    status: HealthStatus
    failing_streak: int
    result: ProbeResult


def is_checked(check: Healthcheck | None) -> bool:
    """Return whether there is a check to run; a check of an unknown kind is never run, as in
    Docker.
    """
    return check is not None and bool(check.test) and check.test[0] in ("CMD", "CMD-SHELL")


def probe_arguments(check: Healthcheck, shell: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a probe executes; ``shell`` is the image's, if it has one."""
    kind, *words = check.test
    return (*(shell or SHELL_DEFAULT), *words) if kind == "CMD-SHELL" else tuple(words)


def timeout_ns(check: Healthcheck) -> int:
    """Return how long a probe may take."""
    return check.timeout or TIMEOUT_DEFAULT_NS


def interval_ns(check: Healthcheck, status: HealthStatus, age_ns: int) -> int:
    """Return how long to wait from the end of one probe to the beginning of the next, ``age_ns``
    after the start.
    """
    if status is HealthStatus.STARTING and age_ns < check.start_period:
        return check.start_interval or START_INTERVAL_DEFAULT_NS
    return check.interval or INTERVAL_DEFAULT_NS


def judge(health: Health, check: Healthcheck, result: ProbeResult, age_ns: int) -> Health:
    """Return the health after one more result of a probe that began ``age_ns`` after the start."""
    log = (*health.log, result)[-LOG_MAX:]
    if result.exit_code == 0:
        return Health(status=HealthStatus.HEALTHY, failing_streak=0, log=log)
    if health.status is HealthStatus.STARTING and age_ns < check.start_period:
        return replace(health, log=log)
    streak = health.failing_streak + 1
    failed = streak >= (check.retries or RETRIES_DEFAULT)
    status = HealthStatus.UNHEALTHY if failed else health.status
    return Health(status=status, failing_streak=streak, log=log)


def begun_anew(health: Health | None) -> Health:
    """Return the health at a start: the results of the run before are still shown."""
    return Health(log=health.log if health else ())


def standing_still(health: Health | None) -> Health | None:
    """Return the health while no probes run."""
    return replace(health, status=HealthStatus.UNHEALTHY) if health else None


def changed(event: HealthChanged) -> Health:
    """Return the health that an event records."""
    return Health(status=event.status, failing_streak=event.failing_streak, log=(event.result,))


def timeout_text(check: Healthcheck, output: str) -> str:
    """Return the output of a probe that took too long."""
    message = f"Health check exceeded timeout ({_go_duration(timeout_ns(check))})"
    return f"{message}: {output}" if output else message


def _go_duration(span_ns: int) -> str:
    """Format a duration of at least a millisecond as Go does: ``1.5s``, ``1m30s``, ``100ms``."""
    if span_ns < _SECOND_NS:
        return f"{_decimal(span_ns, _MILLISECOND_NS)}ms"
    minutes, rest_ns = divmod(span_ns, 60 * _SECOND_NS)
    hours, minutes = divmod(minutes, 60)
    leading = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{leading}{_decimal(rest_ns, _SECOND_NS)}s"


def _decimal(span_ns: int, unit_ns: int) -> str:
    whole, rest_ns = divmod(span_ns, unit_ns)
    digits = len(str(unit_ns)) - 1
    return f"{whole}.{rest_ns:0{digits}d}".rstrip("0").rstrip(".")
