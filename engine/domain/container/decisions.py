"""Decide what may happen to a container: (state, command) → events, or a refusal.

The phases that allow it are in ``phases.py``; the words of a refusal are Docker's.
"""

from signal import Signals
from typing import Final

from msgspec.structs import replace

from engine.domain.container.attachment import Connected, Disconnected, Endpoint
from engine.domain.container.events import (
    Exited,
    ExitReason,
    Order,
    OrderKind,
    PauseRequested,
    RemoveRequested,
    Renamed,
    RestartScheduled,
    SignalRequested,
    StartFailed,
    StartRequested,
    StopRequested,
    UnpauseRequested,
)
from engine.domain.container.phases import NAMELESS, TRANSITIONS, Phase
from engine.domain.container.resources import Resources
from engine.domain.container.spec import DEFAULT_STOP_TIMEOUT_S, PortBinding, RestartPolicy
from engine.domain.container.state import LASTING, Container, is_ending
from engine.domain.container.update import (
    Updated,
    UpdateRefused,
    UpdateRequested,
    merged,
    updated,
)
from engine.domain.event import Event
from engine.domain.ids import SandboxId
from engine.domain.signals import parse_signal
from engine.errors import Conflict, NotModified

RESTART_DELAY_FIRST_S: Final = 0.1
RESTART_DELAY_FACTOR: Final = 2
RESTART_DELAY_MAX_S: Final = 60.0
RESTART_RESET_AFTER_S: Final = 10.0
"""A run that lasted this long starts the delays anew, as Docker has it."""
STOP_TIMEOUT_MAX_S: Final = 100 * 365 * 24 * 3600
"""A longer timeout is for ever: clocks count no more nanoseconds."""
_SECOND_NS: Final = 1_000_000_000
_COMMAND_REFUSED: Final = (126, 127)
"""Exit codes of a start whose command is not executable, or does not exist."""


class InvalidTransition(Conflict):
    """The container's phase does not allow it."""


class AlreadyRunning(NotModified):
    """The container runs already; there is nothing to start."""


class AlreadyStopped(NotModified):
    """The container does not run; there is nothing to stop."""


class NotRunning(Conflict):
    """The container has no process."""


class RunningNotRemovable(Conflict):
    """A running container is removed by force or not at all."""


class RemovalInProgress(Conflict):
    """The container is being removed already."""


def still_restarting(container: Container) -> InvalidTransition:
    """Return the error for what needs a process, between two runs of a restart policy."""
    return InvalidTransition(
        f"Container {container.id} is restarting, wait until the container is running"
    )


def decide_start(
    container: Container,
    *,
    sandbox: SandboxId | None,
    endpoints: tuple[Endpoint, ...],
    ports: tuple[PortBinding, ...],
) -> tuple[Event, ...]:
    """Return what ``POST /containers/{id}/start`` adds to the log.

    Raises:
        AlreadyRunning: nothing to add; the API answers 304.
        InvalidTransition: paused, or being removed.
    """
    if container.phase in (Phase.RUNNING, Phase.STARTING):
        raise AlreadyRunning(f"Container {container.id} is already running")
    if container.phase is Phase.PAUSED:
        raise InvalidTransition("cannot start a paused container, try unpause instead")
    if StartRequested not in TRANSITIONS[container.phase]:
        raise InvalidTransition("container is marked for removal and cannot be started")
    run = container.run + 1
    return (StartRequested(run=run, sandbox=sandbox, endpoints=endpoints, ports=ports),)


def decide_stop(
    container: Container,
    *,
    signal: int | None,
    timeout_s: int | None,
    boot_ns: int,
    then_start: bool = False,
) -> tuple[Event, ...]:
    """Return what ``POST /containers/{id}/stop`` adds to the log; it is also the first half of a
    restart.

    Raises:
        AlreadyStopped: there is nothing to end.
        NotRunning: it is being removed.
    """
    if container.phase in NAMELESS:
        raise NotRunning(f"container {container.id} is marked for removal")
    if StopRequested not in TRANSITIONS[container.phase]:
        raise AlreadyStopped(f"Container {container.id} is already stopped")
    spec = container.spec
    grace_s = spec.stop_timeout_s if timeout_s is None else timeout_s
    grace_s = DEFAULT_STOP_TIMEOUT_S if grace_s is None else grace_s
    stop = StopRequested(
        order=container.orders_given + 1,
        signal=parse_signal(spec.stop_signal) if signal is None else signal,
        timeout_s=grace_s if grace_s <= STOP_TIMEOUT_MAX_S else -1,
        boot_ns=boot_ns,
        then_start=then_start,
    )
    return (stop, *_thaw_after(container))


def decide_signal(container: Container, signal: int, boot_ns: int) -> tuple[Event, ...]:
    """Return what ``POST /containers/{id}/kill`` adds to the log.

    Between two runs there is nobody to get the signal; one that would have ended the run keeps the
    next from coming.

    Raises:
        NotRunning: there is no process, and none to come.
    """
    number = container.orders_given + 1
    if container.phase is Phase.RESTARTING:
        stop = StopRequested(order=number, signal=signal, timeout_s=0, boot_ns=boot_ns)
        return (stop,) if is_ending(container, signal) else ()
    if not container.is_running and container.phase is not Phase.STARTING:
        raise NotRunning(f"container {container.id} is not running")
    thaw = _thaw_after(container) if is_ending(container, signal) else ()
    return (SignalRequested(order=number, signal=signal), *thaw)


def decide_escalation(container: Container, boot_ns: int) -> tuple[Event, ...]:
    """Return what the deadline of a stop adds to the log: SIGKILL, once."""
    stopping = container.stopping
    if not container.is_running or stopping is None or stopping.deadline_boot_ns is None:
        return ()
    if boot_ns < stopping.deadline_boot_ns:
        return ()
    return (SignalRequested(order=container.orders_given + 1, signal=Signals.SIGKILL),)


def _thaw_after(container: Container) -> tuple[Event, ...]:
    """Return the unpause that follows a signal to a frozen container: its process would not see the
    signal before.
    """
    if container.phase is not Phase.PAUSED:
        return ()
    return (UnpauseRequested(order=container.orders_given + 2),)


def decide_pause(container: Container) -> tuple[Event, ...]:
    """Return what ``POST /containers/{id}/pause`` adds to the log.

    Raises:
        NotRunning: nothing to freeze.
        InvalidTransition: frozen already.
    """
    if container.phase is Phase.PAUSED:
        raise InvalidTransition(f"Container {container.id} is already paused")
    if container.phase is Phase.RESTARTING:
        raise still_restarting(container)
    if container.phase is not Phase.RUNNING:
        raise NotRunning(f"container {container.id} is not running")
    return (PauseRequested(order=container.orders_given + 1),)


def decide_unpause(container: Container) -> tuple[Event, ...]:
    """Return what ``POST /containers/{id}/unpause`` adds to the log.

    Raises:
        InvalidTransition: it is not paused.
    """
    if container.phase is not Phase.PAUSED:
        raise InvalidTransition(f"Container {container.id} is not paused")
    return (UnpauseRequested(order=container.orders_given + 1),)


def decide_rename(container: Container, name: str) -> tuple[Event, ...]:
    """Return what ``POST /containers/{id}/rename`` adds to the log.

    Raises:
        InvalidTransition: it is being removed.
    """
    if Renamed not in TRANSITIONS[container.phase]:
        raise InvalidTransition("container is marked for removal and cannot be renamed")
    return (Renamed(name=name, before=container.name),)


def decide_remove(container: Container, *, force: bool, volumes: bool) -> tuple[Event, ...]:
    """Return what ``DELETE /containers/{id}`` adds to the log.

    Raises:
        RunningNotRemovable: it runs and ``force`` was not given.
        RemovalInProgress: it is being removed already.
    """
    if container.phase is Phase.REMOVING:
        raise RemovalInProgress(f"removal of container {container.id} is already in progress")
    if not force and (
        container.is_running or container.phase in (Phase.STARTING, Phase.RESTARTING)
    ):
        advice = (
            "Unpause and then stop the container before attempting removal or force remove"
            if container.phase is Phase.PAUSED
            else "Stop the container before attempting removal or force remove"
        )
        word = container.phase if container.phase is not Phase.STARTING else Phase.RUNNING
        raise RunningNotRemovable(f"You cannot remove a {word} container {container.id}. {advice}")
    return (RemoveRequested(force=force, volumes=volumes),)


def decide_exited(
    container: Container,
    *,
    code: int,
    signal: int | None,
    oom: bool,
    reason: ExitReason,
    boot_ns: int,
) -> tuple[Event, ...]:
    """Return what the end of the first process adds to the log: the exit, and what follows from it
    by the container's own rules.
    """
    exited = Exited(
        code=code,
        signal=signal,
        oom=oom or bool(signal == Signals.SIGKILL and container.oom_kills),
        reason=reason,
        superseded=tuple(order.number for order in container.orders if order.kind not in LASTING),
    )
    if container.phase in NAMELESS:
        return (exited,)
    settled = tuple(map(_settled, container.lasting_orders))
    if should_restart(_after_updates(container), code):
        delay_s = _next_delay_s(container, boot_ns)
        due_boot_ns = boot_ns + int(delay_s * _SECOND_NS)
        return (exited, *settled, RestartScheduled(delay_s=delay_s, due_boot_ns=due_boot_ns))
    if container.spec.auto_remove and not (container.stopping and container.stopping.then_start):
        return (exited, *settled, RemoveRequested())
    return (exited, *settled)


def _settled(order: Order) -> Event:
    """Return the outcome of an order that the next run has from its beginning."""
    match order.kind:
        case OrderKind.CONNECT:
            return Connected(order=order.number)
        case OrderKind.DISCONNECT:
            return Disconnected(order=order.number)
        case _:
            return Updated(order=order.number)


def _after_updates(container: Container) -> Container:
    """Return the container with its pending updates done: the end of a run does them at once."""
    spec = container.spec
    for order in container.pending_updates:
        assert order.update is not None
        spec = updated(spec, order.update)
    return replace(container, spec=spec)


def decide_update(
    container: Container, asked: Resources, policy: RestartPolicy | None
) -> tuple[Event, ...]:
    """Return what ``POST /containers/{id}/update`` adds to the log.

    To be asked when no other update is under way and no start: both may change what this one is
    measured against.

    Args:
        container: its present state.
        asked: limits that the machine can keep; what is not named stays.
        policy: another restart policy, or None.

    Raises:
        UpdateRefused, InvalidRequest: with Docker's words.
    """
    assert not container.pending_updates
    assert container.phase is not Phase.STARTING
    refused = f"Cannot update container {container.id}"
    if container.phase in NAMELESS:
        raise UpdateRefused(f'{refused}: container is marked for removal and cannot be "update"')
    if policy is not None and policy.name != "no" and container.spec.auto_remove:
        raise UpdateRefused(
            f"{refused}: Restart policy cannot be updated because AutoRemove is enabled for the container"
        )
    try:
        resources = merged(container.spec.resources, asked)
    except Conflict as conflict:
        raise UpdateRefused(f"{refused}: {conflict}") from conflict
    requested = UpdateRequested(
        order=container.orders_given + 1,
        resources=resources,
        restart_policy=policy or container.spec.restart_policy,
    )
    return (requested,) if container.is_running else (requested, Updated(order=requested.order))


def decide_start_failed(container: Container, message: str, exit_code: int) -> tuple[Event, ...]:
    """Return what a failed start adds to the log; a container that was to be removed after its run
    is removed now.
    """
    words = _command_refusal(message) if exit_code in _COMMAND_REFUSED else message
    failed = StartFailed(message=words, exit_code=exit_code)
    if container.spec.auto_remove:
        return (failed, RemoveRequested())
    return (failed,)


def decide_not_started(container: Container, message: str) -> tuple[Event, ...]:
    """Return what the second half of a restart adds to the log if it can't be tried. The last run's
    exit code stays, as in Docker.
    """
    return (
        StartRequested(run=container.run + 1),
        *decide_start_failed(container, message, container.exit_code),
    )


def should_restart(container: Container, code: int) -> bool:
    """Return whether the restart policy asks for another run after an end with this code."""
    policy = container.spec.restart_policy
    if container.user_stopped:
        return False
    if policy.name == "on-failure":
        may_retry = not policy.retries_max or container.restarts < policy.retries_max
        return code != 0 and may_retry
    return policy.name in ("always", "unless-stopped")


def _next_delay_s(container: Container, boot_ns: int) -> float:
    ran_s = (boot_ns - container.started_boot_ns) / _SECOND_NS
    if not container.restart_delay_s or ran_s >= RESTART_RESET_AFTER_S:
        return RESTART_DELAY_FIRST_S
    return min(container.restart_delay_s * RESTART_DELAY_FACTOR, RESTART_DELAY_MAX_S)


def _command_refusal(message: str) -> str:
    """Return the whole message that Docker shows: clients search it for words that they know."""
    return (
        "failed to create task for container: failed to create shim task: OCI runtime create failed: "
        f"runc create failed: unable to start container process: {message}: unknown"
    )
