"""Answer an auditor's questions: who did what to which container, and what ran at some moment.

All answers come from the log alone, so they outlive containers, daemons and this process's memory.
"""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from itertools import islice
from typing import Final, TypeVar

import msgspec
import trio

from engine.domain.container.events import (
    Created,
    Exited,
    Removed,
    RemoveFailed,
    Renamed,
    StartFailed,
)
from engine.domain.event import Actor, Event
from engine.domain.exec.state import ExecExited, ExecStartFailed
from engine.domain.ids import SHORT, ImageId
from engine.domain.image.state import Image
from engine.domain.streams import container_stream, image_stream
from engine.errors import InvalidRequest, NotFound
from engine.queries.threads import ask, ask_at_length, pause, unhurried
from engine.store.chain import Row
from engine.store.ledger import Ledger
from engine.store.projections import View
from engine.store.read import Reader
from engine.store.records import Recorded
from engine.store.replay import Replay
from engine.store.restore import differences, restored
from engine.store.states import kind_of

BLOCK_EVENTS: Final = 100
"""Read in one go on a thread, and sent in one go: some milliseconds each, in which nothing else can
happen."""
_KEPT_MAX: Final = 500
"""Events kept in memory for a follower that has not taken them yet."""
_PREFIX_MIN: Final = 4
"""Digits that are enough to take a word for the beginning of an ID."""
_STREAMS_REMEMBERED: Final = 4096
_NAMING: Final = (Created.TYPE, Renamed.TYPE)

T = TypeVar("T")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One event, as history shows it."""

    seq: int
    at_ns: int
    type: str
    stream: str
    version: int
    id: str
    name: str
    actor: Actor
    outcome: str
    cause: int | None
    correlation: str
    data: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Selects a part of the history; a field that is None selects nothing."""

    about: str | None = None
    """The name, past or present, or the ID of a container, network or image, or a stream."""
    after_seq: int = 0
    until_seq: int | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    type: str | None = None
    """A stored type, or a pattern such as ``container_*``."""
    actor: str | None = None
    """A user's name or number, a program, ``supervisor`` or ``monitor``."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of an audit."""

    events: int
    first_bad_seq: int | None
    problems: tuple[str, ...]


class History:
    """Reads the log, on threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def entries(
        self, question: Question, *, follow: bool = False
    ) -> AsyncGenerator[tuple[Entry, ...], None]:
        """Yield the events that answer a question, in order and in blocks; with ``follow``, also
        those still to come.

        Resuming after an entry's ``seq`` misses nothing and repeats nothing.

        Raises:
            NotFound: nothing was ever called that.
        """
        stream = None
        if question.about is not None:
            stream = self._present_stream(question.about)
            stream = stream or await ask_at_length(partial(self._past_stream, question.about))
        naming = Naming()
        tail = Tail()
        unfollow = self._ledger.follow(tail.add) if follow else None
        try:
            after_seq = question.after_seq
            while True:
                tail.clear()
                last_seq = self._ledger.log.last_seq
                reading = self._read(question, stream, after_seq, last_seq)
                answers = partial(self._answers, reading, question, naming)
                while (block := await ask(answers)) is not None:
                    if block:
                        yield block
                after_seq = max(after_seq, last_seq)
                if not follow:
                    return
                while (fresh := await tail.next(after_seq)) is not None:
                    if block := self._fresh(question, stream, fresh, naming):
                        yield block
                    after_seq = fresh[-1].seq
        finally:
            if unfollow is not None:
                unfollow()

    def _read(
        self, question: Question, stream: str | None, after_seq: int, until_seq: int
    ) -> Iterator[Recorded]:
        events = self._ledger.log.read(
            after_seq,
            until_seq=until_seq if question.until_seq is None else question.until_seq,
            below=stream,
            since_ns=question.since_ns,
            until_ns=question.until_ns,
            keep_unreadable=True,
        )
        return unhurried(events)

    def _answers(
        self, reading: Iterator[Recorded], question: Question, naming: "Naming"
    ) -> tuple[Entry, ...] | None:
        """Return the answers among the next events, perhaps none; None at the end of the log.

        A thread is used for one block at a time, however few of all events answer the question.
        """
        some = _take(reading)
        entries = (naming.entry(recorded, self._ledger.durable) for recorded in some)
        return tuple(entry for entry in entries if _matches(entry, question)) if some else None

    def _fresh(
        self, question: Question, stream: str | None, fresh: list[Recorded], naming: "Naming"
    ) -> tuple[Entry, ...]:
        """Return the answers among events that were just recorded."""
        chosen = (
            naming.entry(recorded, self._ledger.durable)
            for recorded in fresh
            if _is_in(recorded, question, stream)
        )
        return tuple(entry for entry in chosen if _matches(entry, question))

    def _present_stream(self, about: str) -> str | None:
        """Return the stream of a live object. Runs in the trio thread, where the view changes."""
        view = self._ledger.durable
        with suppress(NotFound, InvalidRequest):
            return container_stream(view.container(about).id)
        named = (
            stream for stream, state in view.states() if about == stream or _names(state, about)
        )
        return next(named, None)

    def _past_stream(self, about: str) -> str:
        """Return the stream of a removed object, by its ID or as the last one with that name."""
        if stream := self._past_image(about):
            return stream
        found, word = None, about.removeprefix("/")
        for recorded in unhurried(self._ledger.log.read(types=_NAMING, keep_unreadable=True)):
            event = recorded.event
            if (
                isinstance(event, Created)
                and len(about) >= _PREFIX_MIN
                and event.id.startswith(about)
            ):
                return recorded.stream
            if isinstance(event, Created | Renamed) and event.name == word:
                found = recorded.stream
        if found is None:
            raise NotFound(f"No such object in the history: {about}")
        return found

    def _past_image(self, about: str) -> str | None:
        """Return the stream of a removed image, by its whole ID or by the stream itself."""
        stream = about if kind_of(about) == "image" else image_stream(ImageId(about))
        return stream if self._ledger.log.version(stream) else None

    async def view_at(self, at_ns: int) -> View:
        """Return the state of everything at a moment, by the times at which events happened."""
        return await ask_at_length(partial(self._view_at, at_ns))

    def _view_at(self, at_ns: int) -> View:
        replay = Replay(self._ledger.log.codec)
        for row in unhurried(rows_until(self._ledger.log, at_ns)):
            replay.add(row)
        return replay.view

    async def verify(self) -> Verdict:
        """Audit the hash chain, and compare every projection with a replay of all events."""
        return await ask_at_length(partial(self._verify, pause))

    def _verify(self, pause: Callable[[], None]) -> Verdict:
        """Audit states and events of one moment, whatever is recorded meanwhile."""
        log = self._ledger.log
        seq, aggregates = log.snapshot()
        kept, replay = restored(aggregates), Replay(log.codec)
        report = log.verify_chain(seq, follow=replay.add, pause=pause)
        bad = [found for found in (report.first_bad_seq, replay.first_bad_seq) if found is not None]
        apart = kept.unreadable.keys() | replay.broken.keys()
        unreadable = (*replay.broken.values(), *kept.unreadable.values())
        differing = () if bad else differences(kept.view, replay.view, apart=apart)
        problems = (*report.problems, *unreadable, *differing)
        return Verdict(report.events, min(bad, default=None), problems)


class Tail:
    """Keeps the newest events for a follower, so that it need not read them from the disk.

    A follower that falls behind reads the log instead.
    """

    def __init__(self) -> None:
        self._recorded: list[Recorded] = []
        self._is_torn = False
        self._grown = trio.Event()

    def add(self, recorded: Recorded) -> None:
        """Keep one more event. The ledger calls this."""
        if len(self._recorded) < _KEPT_MAX:
            self._recorded.append(recorded)
        else:
            self._is_torn = True
        self._grown.set()

    def clear(self) -> None:
        """Forget all events; keep those that follow."""
        self._recorded.clear()
        self._is_torn = False
        self._grown = trio.Event()

    async def next(self, after_seq: int) -> list[Recorded] | None:
        """Wait for events behind ``after_seq``, at least one; return None when some could not be
        kept.
        """
        while True:
            await self._grown.wait()
            if self._is_torn:
                return None
            fresh = [recorded for recorded in self._recorded if recorded.seq > after_seq]
            self.clear()
            if fresh:
                return fresh


class Naming:
    """Remembers the names of containers while history is read."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def entry(self, recorded: Recorded, present: View) -> Entry:
        """Return one event as history shows it."""
        event, owner = recorded.event, "/".join(recorded.stream.split("/")[:2])
        if isinstance(event, Created | Renamed):
            self._names[owner] = event.name
        named = self._names.get(owner)
        if isinstance(event, Removed):
            self._names.pop(owner, None)  # or all names that there ever were would be kept
        return Entry(
            seq=recorded.seq,
            at_ns=recorded.at_ns,
            type=event.TYPE,
            stream=recorded.stream,
            version=recorded.version,
            id=owner.partition("/")[2],
            name=named or _present_name(present, owner),
            actor=recorded.origin.actor,
            outcome=_outcome(event),
            cause=recorded.origin.cause,
            correlation=recorded.origin.correlation,
            data=event,
        )


def _present_name(view: View, stream: str) -> str:
    state = view.get(stream)
    if isinstance(state, Image):
        return state.references[0] if state.references else state.id[:SHORT]
    if state is None and kind_of(stream) == "image":
        return stream.partition("/")[2][:SHORT]
    return getattr(state, "name", "")


def _names(state: object, word: str) -> bool:
    if isinstance(state, Image):
        return (
            word in (state.id, *state.references) or f"docker.io/library/{word}" in state.references
        )
    return word in (getattr(state, "name", None), getattr(state, "id", None))


def _outcome(event: Event) -> str:
    match event:
        case Exited(code=code, reason=reason, oom=oom):
            words = [
                f"code {code}",
                *([] if reason == "exited" else [reason]),
                *(["out of memory"] if oom else []),
            ]
            return ", ".join(words)
        case StartFailed(message=message) | ExecStartFailed(message=message):
            return message
        case RemoveFailed(reason=reason):
            return reason
        case ExecExited(code=code):
            return f"code {code}"
        case _:
            return "requested" if event.TYPE.endswith("_requested") else "done"


def _matches(entry: Entry, question: Question) -> bool:
    if question.type is not None and not fnmatchcase(entry.type, question.type):
        return False
    if question.actor is None:
        return True
    actor = entry.actor
    return question.actor in (
        actor.kind,
        actor.name,
        actor.address,
        actor.program,
        actor.program.rpartition("/")[2],
        str(actor.uid),
    )


def _is_in(recorded: Recorded, question: Question, stream: str | None) -> bool:
    """Return whether a new event is in the part of history that is asked for. For older events the
    log's indexes decide this.
    """
    return (
        (stream is None or recorded.stream == stream or recorded.stream.startswith(f"{stream}/"))
        and (question.since_ns is None or recorded.at_ns >= question.since_ns)
        and (question.until_ns is None or recorded.at_ns <= question.until_ns)
    )


def rows_until(log: Reader, at_ns: int) -> Iterator[Row]:
    """Read what had happened by a moment: each stream up to its last event that is not later.

    Times alone don't decide: an exit that happened while the daemon was down is recorded late with
    its true, earlier time, and a clock may jump. Within a stream the log's order counts. Up to the
    first event that is later every row belongs to the answer; behind it, the stream's last version
    at that time is looked up.
    """
    last_seq = log.seq_at(at_ns)
    first_later = log.seq_after(at_ns, until_seq=last_seq)
    last_version = lru_cache(_STREAMS_REMEMBERED)(
        lambda stream: log.version(stream, until_seq=last_seq, until_ns=at_ns)
    )
    for row in log.rows(until_seq=last_seq):
        mixed = first_later is not None and row.seq >= first_later
        if not mixed or row.at_ns <= at_ns or row.version < last_version(row.stream):
            yield row


def _take(reading: Iterator[T]) -> tuple[T, ...]:
    # zip() would take one more than it gives, and lose it.
    return tuple(islice(reading, BLOCK_EVENTS))
