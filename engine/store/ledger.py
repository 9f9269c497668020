"""Record decisions in the log, and keep the two views of it.

    decide(head) ─▶ record ─▶ head moves at once ─▶ EventLog ─▶ durable moves, followers are called
                                                                                ─▶ record returns

When an append fails, the head of its streams is reset to the durable state. Decisions that were
based on those heads meanwhile fail, too: the log refuses a change whose stream is not at the
version that the decision was based on.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import NamedTuple, Protocol

import structlog

from engine.domain.event import Event, Origin
from engine.domain.streams import HOST
from engine.errors import EngineError
from engine.store.errors import StoreCorrupt
from engine.store.log import EventLog, Pending
from engine.store.records import Change, Recorded
from engine.store.replay import Replay
from engine.store.restore import restored
from engine.store.states import State, encode_state, may_return

_Decision = tuple[str, tuple[Event, ...]]

log = structlog.get_logger()

Follower = Callable[[Recorded], None]
"""Called in the trio thread with each event once it is durable, in the order of ``seq``. Neither
blocks nor raises."""


class Clock(Protocol):
    """Reads the two clocks: one for people, one for durations."""

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970, CLOCK_REALTIME."""
        ...

    def boot_ns(self) -> int:
        """Return nanoseconds since the machine started, CLOCK_BOOTTIME, which never jumps."""
        ...


class Append(NamedTuple):
    """Decisions of one origin, which are recorded together."""

    origin: Origin
    decisions: Sequence[_Decision]
    at_ns: int | None = None
    """When it happened, by the wall clock; None is now."""


class Ledger:
    """Records decisions, and keeps the two views."""

    def __init__(self, event_log: EventLog, clock: Clock) -> None:
        self.log = event_log
        self.clock = clock
        kept = restored(event_log.aggregates(), self._recover)
        self.unreadable = kept.unreadable
        """By stream: why the stored state can't be read."""
        for stream, reason in self.unreadable.items():
            log.warning("state_unreadable", stream=stream, reason=reason)
        self.durable, self.head = kept.view, kept.view.copy()
        self._stale = kept.stale
        """Streams whose rows go with the next append, since nothing of them is live."""
        self._leaving: dict[str, int] = {}
        """The last versions of streams that may return, and have left the head but not yet the
        durable view."""
        self._refuse_unknown_host()
        self._followers: list[Follower] = []
        event_log.subscribe(self._follow)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Call ``follower`` with every event from now on, after the durable view has moved.

        Returns:
            What ends it.
        """
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)

    async def record(
        self,
        origin: Origin,
        *decisions: tuple[str, tuple[Event, ...]],
        at_ns: int | None = None,
        essential: bool = False,
    ) -> tuple[Recorded, ...]:
        """Append decisions, all of them or none, and return when they are durable.

        Args:
            origin: who, and within which request.
            decisions: streams and their new events; empty ones are passed over.
            at_ns: when it happened, by the wall clock; None is now.
            essential: it may use the space that is kept for when the disk is full.

        Raises:
            StoreUnavailable: the disk or the database refuses; nothing has changed.
            VersionConflict: an append that this one was based on has failed.
        """
        wanted = [(stream, events) for stream, events in decisions if events]
        if not wanted:
            return ()
        (recorded,) = await self.record_each([Append(origin, wanted, at_ns)], essential=essential)
        return recorded

    async def record_each(
        self, appends: Iterable[Append], *, essential: bool = False
    ) -> list[tuple[Recorded, ...]]:
        """Append several decisions, each all of it or nothing, and return when all are durable.

        They are committed together if that is possible.

        Raises:
            StoreUnavailable, VersionConflict: as :meth:`record`, for the first that was refused.
        """
        pending: list[Pending] = []
        refused: Exception | None = None
        try:
            for origin, decisions, at_ns in appends:
                happened_ns = self.clock.wall_ns() if at_ns is None else at_ns
                pending.append(self._enqueue(decisions, origin, happened_ns, essential=essential))
        except Exception as error:  # raised below: what is in the queue by now has an outcome
            refused = error
        recorded = []
        for each in pending:
            try:
                recorded.append(await each.wait())
            except EngineError as error:
                self._reset_head(each.batch.changes)
                refused = refused or error
        try:
            if refused is not None:
                raise refused
        finally:
            refused = None  # or error and frame would refer to each other, and keep the event
        return recorded

    def submit(self, origin: Origin, stream: str, *events: Event) -> None:
        """Append events without waiting, for the audit of what is done in any case.

        A normal shutdown commits them, since it commits all that is queued. A refusal is logged.

        Raises:
            StoreUnavailable: too many appends wait already.
        """
        pending = self._enqueue(
            [(stream, events)], origin, self.clock.wall_ns(), essential=False, is_awaited=False
        )

        def refused(error: EngineError) -> None:
            self._reset_head(pending.batch.changes)
            log.warning("event_not_recorded", stream=stream, error=str(error))

        pending.if_refused(refused)

    def _enqueue(
        self,
        wanted: Iterable[_Decision],
        origin: Origin,
        at_ns: int,
        *,
        essential: bool,
        is_awaited: bool = True,
    ) -> Pending:
        """Move the head and put the append into the queue; if either fails, undo both."""
        before: dict[str, tuple[int, State | None]] = {}
        changes: list[Change] = []
        try:
            for stream, events in wanted:
                before.setdefault(
                    stream, (self.head.versions.get(stream, 0), self.head.get(stream))
                )
                changes.append(self._move_head(stream, events, origin, at_ns))
            pending = self.log.submit(changes, essential=essential, is_awaited=is_awaited)
        except Exception:
            for stream, (version, state) in before.items():
                self.head.put(stream, version, state)
            self._move_back(changes)
            raise
        self._stale = ()
        return pending

    def _move_head(
        self, stream: str, events: tuple[Event, ...], origin: Origin, at_ns: int
    ) -> Change:
        """Move the head by one decision, and return the change to append."""
        state = self.head.next(stream, events, at_ns)
        version = self._last_version(stream) + 1
        left = self.head.put(stream, version + len(events) - 1, state)
        self._leaving.update({each: last for each, last in left.items() if may_return(each)})
        stored = None if stream in left else encode_state(state)
        also_gone = (*(each for each in left if each != stream), *self._stale)
        return Change(stream, version, events, origin, at_ns, stored, also_gone)

    def _last_version(self, stream: str) -> int:
        """Return the version that a decision follows; the log is asked about an image alone."""
        known = self.head.versions.get(stream) or self._leaving.get(stream)
        if known is None and may_return(stream):
            return self.log.version(stream)
        return known or 0

    def _recover(self, stream: str) -> tuple[int, State | None]:
        """Return the last version of a stream whose stored state can't be read, and the state that
        its readable events lead to.
        """
        replay = Replay(self.log.codec)
        for row in self.log.rows(stream=stream):
            replay.add(row)
        return self.log.version(stream), replay.view.get(stream)

    def _refuse_unknown_host(self) -> None:
        """Refuse a log without a readable state of the machine, which nothing can replace.

        Raises:
            StoreCorrupt: neither its stored state nor its history can be read.
        """
        if HOST in self.unreadable and self.durable.is_new:
            raise StoreCorrupt(f"event log {self.log.path}: {self.unreadable[HOST]}")

    def _reset_head(self, refused: Iterable[Change]) -> None:
        """Reset the head of some streams to the durable state: changes to them were refused."""
        refused = tuple(refused)
        for change in refused:
            self._copy_to_head(change.stream)
        self._move_back(refused)

    def _move_back(self, refused: Iterable[Change]) -> None:
        """Put back what had left the head together with a stream whose change was refused."""
        for stream in (each for change in refused for each in change.also_gone):
            if stream not in self.head.versions:
                self._copy_to_head(stream)

    def _copy_to_head(self, stream: str) -> None:
        self._leaving.pop(stream, None)
        self.head.put(stream, self.durable.versions.get(stream, 0), self.durable.get(stream))

    def _move_durable(self, recorded: Recorded) -> None:
        """Move the durable view by one event; share the state with the head if both are equal."""
        stream = recorded.stream
        state = self.durable.next(stream, (recorded.event,), recorded.at_ns)
        twin = self.head.get(stream)
        left = self.durable.put(stream, recorded.version, twin if twin == state else state)
        for each, version in left.items():
            if self._leaving.get(each) == version:
                del self._leaving[each]

    def _follow(self, group: tuple[Recorded, ...]) -> None:
        for recorded in group:
            self._move_durable(recorded)
            for follower in copy(self._followers):
                follower(recorded)
