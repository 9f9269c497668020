"""Change a container by the events of its runs: start, end, restart by policy."""

from msgspec.structs import replace

from engine.domain.container import health as checks
from engine.domain.container.attachment import Endpoint
from engine.domain.container.events import (
    Exited,
    ExitReason,
    RestartScheduled,
    Started,
    StartFailed,
    StartRequested,
)
from engine.domain.container.health import Health
from engine.domain.container.spec import Membership
from engine.domain.container.state import Container


def start_requested(container: Container, event: StartRequested) -> Container:
    """Begin a run: it has addresses and ports, and nothing of the last run's outcome."""
    by_policy = bool(container.restart_due_boot_ns)
    return replace(
        container,
        run=event.run,
        sandbox=event.sandbox,
        sandbox_before=container.sandbox,
        networks=_found(container.networks, event.endpoints),
        endpoints=event.endpoints,
        ports=event.ports,
        oom_killed=False,
        oom_kills=0,
        log_lost_bytes=0,
        error="",
        exit_reason=None,
        user_stopped=False,
        start_again=False,
        restarts=container.restarts + 1 if by_policy else 0,
        restart_delay_s=container.restart_delay_s if by_policy else 0.0,
        restart_due_boot_ns=0,
    )


def _found(
    memberships: tuple[Membership, ...], endpoints: tuple[Endpoint, ...]
) -> tuple[Membership, ...]:
    """Add to each membership the ID of the network that its name has led to."""
    ids = {endpoint.name: endpoint.network for endpoint in endpoints}
    return tuple(replace(each, network=ids.get(each.name, each.network)) for each in memberships)


def started(container: Container, event: Started, at_ns: int) -> Container:
    """Note the process and the monitor of the run."""
    return replace(
        container,
        sandbox_before=None,
        process=event.process,
        monitor=event.monitor,
        started_ns=at_ns,
        started_boot_ns=event.boot_ns,
        exit_code=0,
        health=_fresh_health(container),
    )


def _fresh_health(container: Container) -> Health | None:
    is_checked = checks.is_checked(container.spec.healthcheck)
    return checks.begun_anew(container.health) if is_checked else None


def start_failed(container: Container, event: StartFailed, at_ns: int) -> Container:
    """End a run that never had a process."""
    return replace(_ended(container, at_ns), exit_code=event.exit_code, error=event.message)


def exited(container: Container, event: Exited, at_ns: int) -> Container:
    """End a run; orders that outlast it stay."""
    again = bool(container.stopping and container.stopping.then_start)
    return replace(
        _ended(container, at_ns),
        exits=container.exits + 1,
        exit_code=event.code,
        exit_reason=event.reason,
        oom_killed=event.oom,
        orders=container.lasting_orders,
        start_again=again and event.reason is not ExitReason.REBOOT,
    )


def _ended(container: Container, at_ns: int) -> Container:
    return replace(
        container,
        finished_ns=at_ns,
        process=None,
        monitor=None,
        orders=(),
        stopping=None,
        drift=(),
        health=checks.standing_still(container.health),
    )


def restart_scheduled(container: Container, event: RestartScheduled) -> Container:
    """Note when the restart policy starts the next run."""
    return replace(container, restart_due_boot_ns=event.due_boot_ns, restart_delay_s=event.delay_s)
