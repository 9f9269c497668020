"""Define the events of the machine and the daemon: one stream, ``host``."""

from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

from engine.domain.event import Event
from engine.domain.ids import InstanceId


class HostInitialised(Event, frozen=True, kw_only=True):
    """A data root was created: its instance ID marks all kernel objects that belong to it."""

    TYPE: ClassVar[str] = "host_initialised"
    instance: InstanceId


class DaemonStarted(Event, frozen=True, kw_only=True):
    """A daemon serves this data root from here on."""

    TYPE: ClassVar[str] = "daemon_started"
    version: str
    pid: int
    boot_id: str


class DaemonStopped(Event, frozen=True, kw_only=True):
    """The daemon has ended in good order; the containers go on."""

    TYPE: ClassVar[str] = "daemon_stopped"


class OrphanRemoved(Event, frozen=True, kw_only=True):
    """A kernel object with our mark that belongs to nothing in the log was removed."""

    TYPE: ClassVar[str] = "host_orphan_removed"
    kind: str
    name: str


class OrphanFound(Event, frozen=True, kw_only=True):
    """An orphan was left alone, because something runs in it or because it may hold somebody's
    data.
    """

    TYPE: ClassVar[str] = "host_orphan_found"
    kind: str
    name: str
    reason: str


class Pruned(Event, frozen=True, kw_only=True):
    """Somebody asked to remove everything of one kind that nobody uses; what was removed has events
    of its own.
    """

    TYPE: ClassVar[str] = "host_pruned"
    kind: str
    """``container``, ``image``, ``network``, ``volume`` or ``builder``."""
    reclaimed_bytes: int = 0


EVENTS: Final[tuple[type[Event], ...]] = (
    HostInitialised,
    DaemonStarted,
    DaemonStopped,
    OrphanRemoved,
    OrphanFound,
    Pruned,
)


class Host(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the log knows of the machine."""

    instance: InstanceId
    boot_id: str = ""


def evolve(host: Host | None, event: Event, _at_ns: int) -> Host:
    """Return the host after one more event."""
    if isinstance(event, HostInitialised):
        assert host is None
        return Host(instance=event.instance)
    assert host is not None
    return replace(host, boot_id=event.boot_id) if isinstance(event, DaemonStarted) else host
