"""Define what an observation of a container holds.

*Facts* come from the monitor's journal (``runtime/facts.py``) and have happened, whatever the log
knows of them; their times are the monitor's. The rest of an observation is how things are at this
moment.
"""

from dataclasses import dataclass
from enum import StrEnum

from engine.domain.container.events import ProcessIdentity
from engine.domain.ids import ContainerId, SandboxId
from engine.runtime.facts import (
    DETACHED,
    ENDED,
    AttachEnded,
    ExecProcessExited,
    ExecProcessNotStarted,
    ExecProcessStarted,
    Fact,
    LogDropped,
    MemoryExhausted,
    MonitorBegan,
    ProcessExited,
    ProcessNotStarted,
    ProcessStarted,
)

__all__ = [
    "DETACHED",
    "ENDED",
    "AttachEnded",
    "ExecProcessExited",
    "ExecProcessNotStarted",
    "ExecProcessStarted",
    "Fact",
    "Inventory",
    "LogDropped",
    "MemoryExhausted",
    "MonitorBegan",
    "Observation",
    "Presence",
    "ProcessExited",
    "ProcessNotStarted",
    "ProcessStarted",
    "identity_of",
]


def identity_of(fact: MonitorBegan | ProcessStarted | ExecProcessStarted) -> ProcessIdentity:
    """Return the process that a fact is about."""
    return ProcessIdentity(pid=fact.pid, start_ticks=fact.start_ticks, boot_id=fact.boot_id)


class Presence(StrEnum):
    """How much of a kernel object exists."""

    ABSENT = "absent"
    DAMAGED = "damaged"
    RIGHT = "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One container, as the kernel has it."""

    boot_id: str
    monitor_alive: bool = False
    process_alive: bool = False
    """Whether the process exists that the log names, or the journal if the log does not name it
    yet."""
    facts: tuple[Fact, ...] = ()
    """The facts of the present run that were not returned before."""
    sandbox: Presence = Presence.ABSENT
    cgroup: Presence = Presence.ABSENT
    frozen: bool = False
    bundle: Presence = Presence.ABSENT
    files: Presence = Presence.ABSENT
    """The files in ``/etc`` of a running container; damaged if they exist and are out of date."""
    directory: Presence = Presence.ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Everything with our mark, from a few listings."""

    bundles: frozenset[ContainerId] = frozenset()
    cgroups: frozenset[ContainerId] = frozenset()
    directories: frozenset[ContainerId] = frozenset()
    sandboxes: frozenset[SandboxId] = frozenset()
    bridges: frozenset[str] = frozenset()
    damaged_sandboxes: frozenset[SandboxId] = frozenset()
    damaged_cgroups: frozenset[ContainerId] = frozenset()
    """Running containers whose process is outside, or runs although it should be frozen."""
    missing_files: frozenset[ContainerId] = frozenset()
    """Running containers of which a file in ``/etc`` was deleted."""


def monitor_of(facts: tuple[Fact, ...]) -> ProcessIdentity | None:
    """Return the monitor that wrote the journal which these facts are from, if they say."""
    return next((identity_of(fact) for fact in facts if isinstance(fact, MonitorBegan)), None)
