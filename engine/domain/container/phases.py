"""Define the phases of a container's life, and which event leads to which.

An *intent* and its *outcome* are different events; between the two the log says "asked, not yet
done", and that gap is what recovery looks for. Intents come from users (and from restart policies),
outcomes from what the kernel and the monitor say::

                 StartRequested          Started
        CREATED ───────────────▶ STARTING ──────▶ RUNNING ◀──▶ PAUSED
           ▲                      ▲ │ StartFailed    │ Exited     │ Exited
           │                      │ ▼                ▼            │
           └─ (never ran)       EXITED ◀─────────────┴────────────┘
                                  │ ▲ RestartScheduled: RESTARTING, then StartRequested again
      RemoveRequested (any phase) │
                                  ▼
                              REMOVING ──▶ REMOVED       RemoveFailed: DEAD, until it works
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from engine.domain.container.attachment import EVENTS as ATTACHMENT_EVENTS
from engine.domain.container.attachment import (
    Connected,
    ConnectRequested,
    Disconnected,
    DisconnectRequested,
)
from engine.domain.container.audit_events import EVENTS as AUDIT_EVENTS
from engine.domain.container.events import (
    AttachClosed,
    AttachOpened,
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
from engine.domain.container.update import EVENTS as UPDATE_EVENTS
from engine.domain.container.update import Updated, UpdateRequested
from engine.domain.event import Event


class Phase(StrEnum):
    """Where a container is in its life. ``STARTING`` is ours: to Docker's clients the container is
    still what it was before.
    """

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    EXITED = "exited"
    REMOVING = "removing"
    REMOVED = "removed"
    DEAD = "dead"


def _stays(phase: Phase, *events: type[Event]) -> dict[type[Event], Phase]:
    return dict.fromkeys(events, phase)


_ALWAYS: Final[tuple[type[Event], ...]] = (Renamed, AttachOpened, AttachClosed, *AUDIT_EVENTS)
_OF_NO_RUN: Final[tuple[type[Event], ...]] = (
    *(UpdateRequested, Updated),
    *(ConnectRequested, Connected, DisconnectRequested, Disconnected),
)
"""What is done at once while nothing runs."""
_ORDERS: Final[tuple[type[Event], ...]] = (
    *(SignalRequested, Signalled, StopRequested, PauseRequested, UnpauseRequested),
    *(OutOfMemory, LogLost, DriftDetected, DriftRepaired),
    *UPDATE_EVENTS,
    *ATTACHMENT_EVENTS,
)

TRANSITIONS: Final[Mapping[Phase, Mapping[type[Event], Phase]]] = {
    Phase.CREATED: {
        **_stays(Phase.CREATED, *_ALWAYS, *_OF_NO_RUN),
        StartRequested: Phase.STARTING,
        RemoveRequested: Phase.REMOVING,
    },
    Phase.STARTING: {
        **_stays(Phase.STARTING, *_ALWAYS, SignalRequested, StopRequested),
        Started: Phase.RUNNING,
        StartFailed: Phase.EXITED,
        RemoveRequested: Phase.REMOVING,
    },
    Phase.RUNNING: {
        **_stays(Phase.RUNNING, *_ALWAYS, *_ORDERS, Unpaused, HealthChanged),
        Paused: Phase.PAUSED,
        Exited: Phase.EXITED,
        RemoveRequested: Phase.REMOVING,
    },
    Phase.PAUSED: {
        **_stays(Phase.PAUSED, *_ALWAYS, *_ORDERS, Paused),
        Unpaused: Phase.RUNNING,
        Exited: Phase.EXITED,
        RemoveRequested: Phase.REMOVING,
    },
    Phase.RESTARTING: {
        **_stays(Phase.RESTARTING, *_ALWAYS, *_OF_NO_RUN),
        StartRequested: Phase.STARTING,
        StopRequested: Phase.EXITED,
        RemoveRequested: Phase.REMOVING,
    },
    Phase.EXITED: {
        **_stays(Phase.EXITED, *_ALWAYS, *_OF_NO_RUN),
        StartRequested: Phase.STARTING,
        RestartScheduled: Phase.RESTARTING,
        RemoveRequested: Phase.REMOVING,
    },
    Phase.REMOVING: {
        **_stays(
            Phase.REMOVING,
            *UPDATE_EVENTS,
            *ATTACHMENT_EVENTS,
            *AUDIT_EVENTS,
            *(AttachClosed, Exited, OutOfMemory, LogLost, RemoveRequested),
        ),
        RemoveFailed: Phase.DEAD,
        Removed: Phase.REMOVED,
    },
    Phase.DEAD: {
        **_stays(Phase.DEAD, *AUDIT_EVENTS, AttachClosed, RemoveRequested, RemoveFailed),
        Removed: Phase.REMOVED,
    },
    Phase.REMOVED: {},
}
assert TRANSITIONS.keys() == set(Phase)

HAS_PROCESS: Final = frozenset({Phase.RUNNING, Phase.PAUSED})
NAMELESS: Final = frozenset({Phase.REMOVING, Phase.REMOVED, Phase.DEAD})
"""Phases in which a container's name is free for others."""
