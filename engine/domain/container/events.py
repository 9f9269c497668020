"""Define the events of containers and their values.

``phases.py`` says which event may follow which. Intents are named ``…Requested``; everything else
is an outcome.
"""

from enum import StrEnum
from typing import ClassVar, Final

import msgspec

from engine.domain.container.attachment import EVENTS as ATTACHMENT_EVENTS
from engine.domain.container.attachment import Endpoint
from engine.domain.container.audit_events import EVENTS as AUDIT_EVENTS
from engine.domain.container.health import HealthChanged
from engine.domain.container.spec import PortBinding, Spec
from engine.domain.container.update import EVENTS as UPDATE_EVENTS
from engine.domain.container.update import UpdateRequested
from engine.domain.event import Event
from engine.domain.ids import ContainerId, NetworkId, SandboxId

UNKNOWN_EXIT_CODE: Final = 255
"""The exit code if it could not be observed."""


class ProcessIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A process that can't be mistaken for another one: a pid alone may have been reused."""

    pid: int
    start_ticks: int
    """Field 22 of ``/proc/PID/stat``, proc(5)."""
    boot_id: str
    """``/proc/sys/kernel/random/boot_id``."""


class OrderKind(StrEnum):
    """What can be ordered of a running container."""

    SIGNAL = "signal"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    UPDATE = "update"
    CONNECT = "connect"
    DISCONNECT = "disconnect"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A request to a running container that is not done yet."""

    number: int
    kind: OrderKind
    signal: int = 0
    update: UpdateRequested | None = None
    network: NetworkId | None = None
    """The network to connect or disconnect."""


class Stopping(msgspec.Struct, frozen=True, kw_only=True):
    """A stop under way: its signal is an order like any other; SIGKILL follows at the deadline."""

    deadline_boot_ns: int | None
    """On CLOCK_BOOTTIME; None waits for ever."""
    then_start: bool = False


class ExitReason(StrEnum):
    """How the engine knows that a container has ended."""

    EXITED = "exited"
    """The monitor reaped its first process."""
    MONITOR_LOST = "monitor lost"
    """The monitor died, and the container with it; the exit code is unknown."""
    REBOOT = "reboot"
    """The machine was restarted."""


class Created(Event, frozen=True, kw_only=True):
    """A container was defined; nothing was made for it yet."""

    TYPE: ClassVar[str] = "container_created"
    id: ContainerId
    name: str
    spec: Spec


class Renamed(Event, frozen=True, kw_only=True):
    """The container has another name."""

    TYPE: ClassVar[str] = "container_renamed"
    name: str
    before: str


class StartRequested(Event, frozen=True, kw_only=True):
    """Intent: run the container with these network resources, which it holds until the end of the
    run.
    """

    TYPE: ClassVar[str] = "container_start_requested"
    run: int
    sandbox: SandboxId | None = None
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[PortBinding, ...] = ()
    restart: bool = False
    """The start is that of a restart of a container that did not run."""


class Started(Event, frozen=True, kw_only=True):
    """The first process executes the container's program."""

    TYPE: ClassVar[str] = "container_started"
    process: ProcessIdentity
    monitor: ProcessIdentity
    boot_ns: int
    """CLOCK_BOOTTIME at the start: what durations are computed from."""


class StartFailed(Event, frozen=True, kw_only=True):
    """The first process could not be started; the exit code is Docker's 125, 126 or 127."""

    TYPE: ClassVar[str] = "container_start_failed"
    message: str
    exit_code: int


class SignalRequested(Event, frozen=True, kw_only=True):
    """Intent: send a signal to the first process."""

    TYPE: ClassVar[str] = "container_signal_requested"
    order: int
    signal: int


class Signalled(Event, frozen=True, kw_only=True):
    """The signal has been sent."""

    TYPE: ClassVar[str] = "container_signalled"
    order: int
    signal: int


class StopRequested(Event, frozen=True, kw_only=True):
    """Intent: end the container by a signal, and by SIGKILL at the deadline."""

    TYPE: ClassVar[str] = "container_stop_requested"
    order: int
    signal: int
    timeout_s: int
    """Negative waits for ever."""
    boot_ns: int
    """CLOCK_BOOTTIME at the request."""
    then_start: bool = False
    """A restart: start again afterwards."""


class PauseRequested(Event, frozen=True, kw_only=True):
    """Intent: freeze all processes."""

    TYPE: ClassVar[str] = "container_pause_requested"
    order: int
    for_commit: bool = False
    """Whether the pause is only for a commit: after a crash the next daemon ends it."""


class Paused(Event, frozen=True, kw_only=True):
    """All processes are frozen."""

    TYPE: ClassVar[str] = "container_paused"
    order: int


class UnpauseRequested(Event, frozen=True, kw_only=True):
    """Intent: let the processes go on."""

    TYPE: ClassVar[str] = "container_unpause_requested"
    order: int


class Unpaused(Event, frozen=True, kw_only=True):
    """The processes go on."""

    TYPE: ClassVar[str] = "container_unpaused"
    order: int


class AttachOpened(Event, frozen=True, kw_only=True):
    """A client is connected to the container's standard streams."""

    TYPE: ClassVar[str] = "container_attach_opened"
    attach: str
    stdin: bool = False


class AttachClosed(Event, frozen=True, kw_only=True):
    """The connection of a client is over: ``eof``, ``detached``, ``slow``, ``ended`` or
    ``lost``.
    """

    TYPE: ClassVar[str] = "container_attach_closed"
    attach: str
    reason: str


class OutOfMemory(Event, frozen=True, kw_only=True):
    """The kernel killed processes of the container for lack of memory: ``count`` since the start of
    the run.
    """

    TYPE: ClassVar[str] = "container_out_of_memory"
    count: int


class LogLost(Event, frozen=True, kw_only=True):
    """Output that could not be written to the log: ``count`` bytes since the start of the run."""

    TYPE: ClassVar[str] = "container_log_lost"
    count_bytes: int


class Exited(Event, frozen=True, kw_only=True):
    """The first process has ended, and all others with it."""

    TYPE: ClassVar[str] = "container_exited"
    code: int
    signal: int | None = None
    oom: bool = False
    reason: ExitReason = ExitReason.EXITED
    superseded: tuple[int, ...] = ()
    """Orders that the end of the run made pointless."""


class RestartScheduled(Event, frozen=True, kw_only=True):
    """The restart policy wants another run, after a delay."""

    TYPE: ClassVar[str] = "container_restart_scheduled"
    delay_s: float
    due_boot_ns: int


class RemoveRequested(Event, frozen=True, kw_only=True):
    """Intent: remove the container. Its name is free from here on."""

    TYPE: ClassVar[str] = "container_remove_requested"
    force: bool = False
    volumes: bool = False


class RemoveFailed(Event, frozen=True, kw_only=True):
    """Something of the container can't be removed yet; the engine goes on trying."""

    TYPE: ClassVar[str] = "container_remove_failed"
    reason: str


class Removed(Event, frozen=True, kw_only=True):
    """Nothing is left of the container but its history."""

    TYPE: ClassVar[str] = "container_removed"


class DriftDetected(Event, frozen=True, kw_only=True):
    """Something of a running container was changed outside of the engine."""

    TYPE: ClassVar[str] = "container_drift_detected"
    what: str


class DriftRepaired(Event, frozen=True, kw_only=True):
    """What had changed is again as the log says."""

    TYPE: ClassVar[str] = "container_drift_repaired"
    what: str


EVENTS: Final[tuple[type[Event], ...]] = (
    Created,
    Renamed,
    StartRequested,
    Started,
    StartFailed,
    SignalRequested,
    Signalled,
    StopRequested,
    PauseRequested,
    Paused,
    UnpauseRequested,
    Unpaused,
    AttachOpened,
    AttachClosed,
    OutOfMemory,
    LogLost,
    Exited,
    RestartScheduled,
    RemoveRequested,
    RemoveFailed,
    Removed,
    DriftDetected,
    DriftRepaired,
    HealthChanged,
    *UPDATE_EVENTS,
    *AUDIT_EVENTS,
    *ATTACHMENT_EVENTS,
)
