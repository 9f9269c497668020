"""Define what is appended to the log and what is read from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from engine.domain.event import Event, Origin


@dataclass(frozen=True, slots=True)
class Change:
    """What one decision adds to the history of one aggregate.

    Attributes:
        stream: whose history, such as ``container/<id>``.
        version: of the first of the events; the stream's present version plus one, 1 for a new
            stream.
        events: at least one.
        at_ns: the wall clock, nanoseconds since 1970; information for people: order comes from
            ``seq``.
        snapshot: the aggregate after these events as JSON, or None when it is live no longer.
        also_gone: streams of other aggregates that are live no longer because of these events.
    """

    stream: str
    version: int
    events: tuple[Event, ...]
    origin: Origin
    at_ns: int
    snapshot: bytes | None
    also_gone: tuple[str, ...] = ()

    @property
    def last_version(self) -> int:
        """Return the stream's version after this change."""
        return self.version + len(self.events) - 1


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event as it stands in the log."""

    seq: int
    stream: str
    version: int
    event: Event
    at_ns: int
    origin: Origin
    hash: bytes


class Unreadable(Event, frozen=True, kw_only=True):
    """Replaces, for readers, an event that this engine can't read; it is never written."""

    TYPE: ClassVar[str] = "unreadable"
    reason: str


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The stored state of one live aggregate; ``snapshot`` comes from the last change of its
    stream.
    """

    stream: str
    version: int
    snapshot: bytes


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of an audit of the whole log; ``first_bad_seq`` is None when nothing is wrong.

    ``problems`` are sentences for people, the first few only when there are many.
    """

    events: int
    first_bad_seq: int | None
    problems: tuple[str, ...]


Subscriber = Callable[[tuple[Recorded, ...]], None]
"""Called in the trio thread with each committed group, in the order of ``seq``. Must neither block
nor raise."""
