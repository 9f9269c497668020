"""What the kernel and a container's monitor say, as values.

*Facts* come from the monitor's journal and have happened, whatever the log knows of them; their times are the monitor's. The
rest of an observation is how things are at this moment.
"""

from dataclasses import dataclass
from enum import StrEnum

from engine.domain.container_events import ProcessIdentity
from engine.domain.ids import ContainerId, ExecId, SandboxId


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One record of a monitor's journal."""

    number: int
    """Counts from 1 within a run."""
    at_ns: int
    """Wall clock."""
    boot_ns: int
    """CLOCK_BOOTTIME."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorBegan(Fact):
    """The monitor has its lock: the launch has happened and must not be repeated."""

    monitor: ProcessIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStarted(Fact):
    """The first process executes its program."""

    process: ProcessIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessNotStarted(Fact):
    """It could not be."""

    message: str
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessExited(Fact):
    """The first process was reaped; always a run's last fact."""

    code: int
    signal: int | None
    oom: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryExhausted(Fact):
    """The kernel has killed ``count`` processes since the start of the run."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogDropped(Fact):
    """Output lost since the start of the run."""

    count_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachEnded(Fact):
    """A client's connection to the standard streams is over."""

    attach: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecProcessStarted(Fact):
    """An exec's process executes its program."""

    execution: ExecId
    process: ProcessIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecProcessNotStarted(Fact):
    """It could not be."""

    execution: ExecId
    message: str
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecProcessExited(Fact):
    """An exec's process was reaped."""

    execution: ExecId
    code: int


class Presence(StrEnum):
    """How much of a kernel object is there."""

    ABSENT = "absent"
    DAMAGED = "damaged"
    RIGHT = "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One container, as the kernel has it."""

    boot_id: str
    monitor_alive: bool = False
    process_alive: bool = False
    """The process that the log names, or that the journal does when the log has not heard of it yet."""
    facts: tuple[Fact, ...] = ()
    """Of the present run, those not asked for before."""
    sandbox: Presence = Presence.ABSENT
    cgroup: Presence = Presence.ABSENT
    frozen: bool = False
    bundle: Presence = Presence.ABSENT
    files: Presence = Presence.ABSENT
    """Those in ``/etc``, of a container that runs; damaged when they are there and tell of what is no more."""
    directory: Presence = Presence.ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Everything with our mark, whoever it belongs to, from a few listings."""

    bundles: frozenset[ContainerId] = frozenset()
    cgroups: frozenset[ContainerId] = frozenset()
    directories: frozenset[ContainerId] = frozenset()
    sandboxes: frozenset[SandboxId] = frozenset()
    bridges: frozenset[str] = frozenset()
    damaged_sandboxes: frozenset[SandboxId] = frozenset()
    damaged_cgroups: frozenset[ContainerId] = frozenset()
    """Of containers that run: their process is outside, or moves although it should stand still."""
    missing_files: frozenset[ContainerId] = frozenset()
    """Of containers that run: a file of those in ``/etc`` was deleted."""
