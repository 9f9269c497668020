"""Change a container by its events: a table of event types and what each of them does."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from engine.domain.container.attachment import (
    Connected,
    ConnectFailed,
    ConnectRequested,
    Disconnected,
    DisconnectRequested,
    initial_memberships,
)
from engine.domain.container.audit_events import EVENTS as AUDIT_EVENTS
from engine.domain.container.events import (
    AttachClosed,
    AttachOpened,
    Created,
    DriftDetected,
    DriftRepaired,
    Exited,
    LogLost,
    OutOfMemory,
    Paused,
    PauseRequested,
    Removed,
    RemoveFailed,
    RemoveRequested,
    Renamed,
    RestartScheduled,
    Signalled,
    SignalRequested,
    Started,
    StartFailed,
    StartRequested,
    StopRequested,
    Unpaused,
    UnpauseRequested,
)
from engine.domain.container.health import HealthChanged
from engine.domain.container.health import changed as changed_health
from engine.domain.container.order_changes import (
    connect_failed,
    connect_requested,
    connected,
    disconnect_requested,
    disconnected,
    pause_requested,
    paused,
    signal_requested,
    signalled,
    stop_requested,
    unpause_requested,
    unpaused,
    update_failed,
    update_requested,
    updated,
)
from engine.domain.container.phases import TRANSITIONS, Phase
from engine.domain.container.run_changes import (
    exited,
    restart_scheduled,
    start_failed,
    start_requested,
    started,
)
from engine.domain.container.state import Container
from engine.domain.container.update import Updated, UpdateFailed, UpdateRequested
from engine.domain.event import Event


def evolve(container: Container | None, event: Event, at_ns: int) -> Container:
    """Return the container after one more event, which happened at ``at_ns`` (wall clock).

    Never refuses: the event has already happened. A KeyError or AssertionError means that the log
    is corrupt.
    """
    if container is None:
        assert isinstance(event, Created)
        return Container(
            id=event.id,
            name=event.name,
            spec=event.spec,
            created_ns=at_ns,
            networks=initial_memberships(event.spec),
        )
    if container.is_unreadable and isinstance(event, RemoveRequested):
        return replace(container, phase=Phase.REMOVING, is_unreadable=False, error="")
    kind = type(event)
    container = replace(container, phase=TRANSITIONS[container.phase][kind])
    if change_at := _CHANGES_AT.get(kind):
        return change_at(container, event, at_ns)
    return _CHANGES[kind](container, event)


def _renamed(container: Container, event: Renamed) -> Container:
    return replace(container, name=event.name)


def _attach_opened(container: Container, event: AttachOpened) -> Container:
    return replace(container, attachments=(*container.attachments, event.attach))


def _attach_closed(container: Container, event: AttachClosed) -> Container:
    still_open = tuple(other for other in container.attachments if other != event.attach)
    return replace(container, attachments=still_open)


def _out_of_memory(container: Container, event: OutOfMemory) -> Container:
    return replace(container, oom_kills=event.count)


def _log_lost(container: Container, event: LogLost) -> Container:
    return replace(container, log_lost_bytes=event.count_bytes)


def _health_changed(container: Container, event: HealthChanged) -> Container:
    return replace(container, health=changed_health(event))


def _drift_detected(container: Container, event: DriftDetected) -> Container:
    return replace(container, drift=(*container.drift, event.what))


def _drift_repaired(container: Container, event: DriftRepaired) -> Container:
    return replace(container, drift=tuple(what for what in container.drift if what != event.what))


def _remove_requested(container: Container, _event: RemoveRequested) -> Container:
    return replace(container, start_again=False, restart_due_boot_ns=0)


def _remove_failed(container: Container, event: RemoveFailed) -> Container:
    return replace(container, error=event.reason)


def _unchanged(container: Container, _event: Event) -> Container:
    return container


_CHANGES_AT: Final[Mapping[type[Event], Callable[[Container, Any, int], Container]]] = {
    # Any: each function takes the type that it stands beside.
    Started: started,
    StartFailed: start_failed,
    Exited: exited,
}
"""The changes that depend on the time of the event."""

_CHANGES: Final[Mapping[type[Event], Callable[[Container, Any], Container]]] = {
    StartRequested: start_requested,
    RestartScheduled: restart_scheduled,
    StopRequested: stop_requested,
    SignalRequested: signal_requested,
    Signalled: signalled,
    PauseRequested: pause_requested,
    Paused: paused,
    UnpauseRequested: unpause_requested,
    Unpaused: unpaused,
    UpdateRequested: update_requested,
    Updated: updated,
    UpdateFailed: update_failed,
    ConnectRequested: connect_requested,
    Connected: connected,
    ConnectFailed: connect_failed,
    DisconnectRequested: disconnect_requested,
    Disconnected: disconnected,
    Renamed: _renamed,
    AttachOpened: _attach_opened,
    AttachClosed: _attach_closed,
    OutOfMemory: _out_of_memory,
    LogLost: _log_lost,
    HealthChanged: _health_changed,
    DriftDetected: _drift_detected,
    DriftRepaired: _drift_repaired,
    RemoveRequested: _remove_requested,
    RemoveFailed: _remove_failed,
    Removed: _unchanged,
    **dict.fromkeys(AUDIT_EVENTS, _unchanged),
}
"""All other changes."""

assert _CHANGES.keys() | _CHANGES_AT.keys() == {
    event for events in TRANSITIONS.values() for event in events
}
