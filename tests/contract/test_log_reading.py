"""Test that every question to the log finds its rows by an index, however long the log is."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from sqlalchemy import event as sqlalchemy_event

from engine.domain.event import SUPERVISOR, Event, Origin
from engine.store.codec import Codec
from engine.store.log import EventLog
from engine.store.records import Change, Recorded

ORIGIN: Final = Origin(actor=SUPERVISOR)
STREAMS: Final = ("boat/a", "boat/a/oar/1", "boat/a/oar/2", "boat/ab", "boat/b")
EVENTS: Final = 1200
"""More than two blocks."""


class Noted(Event, frozen=True, kw_only=True):
    TYPE = "noted"


class Crossed(Event, frozen=True, kw_only=True):
    TYPE = "crossed"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    """Make a log of streams and types in random order, whose clock jumps back now and then."""
    opened = EventLog.open(tmp_path / "log.db", codec=Codec([Noted, Crossed]), threaded=False)
    chance, versions = random.Random(7), dict[str, int]()
    changes = []
    for number in range(EVENTS):
        stream = chance.choice(STREAMS)
        versions[stream] = versions.get(stream, 0) + 1
        at_ns = max(0, number - chance.choice((0, 0, 0, 3, 200)))
        made = chance.choice((Noted, Crossed))()
        changes.append(Change(stream, versions[stream], (made,), ORIGIN, at_ns, b"{}"))
    trio.run(opened.append, changes)
    yield opened
    opened.close()


class Plans:
    """Records SQLite's plan for each statement that a log's readers execute."""

    def __init__(self, log: EventLog) -> None:
        self.found: list[list[str]] = []
        sqlalchemy_event.listen(log._reader, "before_cursor_execute", self._explain)

    def _explain(self, _: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if statement.startswith("SELECT"):
            rows = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            self.found.append([detail for *_, detail in rows])


Ask = Callable[[EventLog], object]


QUESTIONS: Final[dict[str, tuple[Ask, str]]] = {
    "of a stream": (lambda log: list(log.read(stream="boat/a")), "_events_1 (stream=?)"),
    "of streams": (lambda log: list(log.read(streams=["boat/a", "c"])), "_events_1 (stream=?)"),
    "below": (
        lambda log: list(log.read(below="boat/a", until_seq=EVENTS, since_ns=9)),
        "_events_1 (stream>? AND stream<?)",
    ),
    "of types of a stream": (
        lambda log: list(log.read(stream="boat/a", types=["noted"], until_seq=900)),
        "_events_1 (stream=?)",
    ),
    "rows of a stream": (lambda log: list(log.rows(stream="boat/a")), "_events_1 (stream=?)"),
    "of types": (lambda log: list(log.read(types=["noted"])), "events_type (type=? AND rowid>?)"),
    "since": (lambda log: list(log.read(since_ns=9)), "COVERING INDEX events_at_ns (at_ns>?)"),
    "between times": (
        lambda log: list(log.read(since_ns=9, until_ns=99)),
        "COVERING INDEX events_at_ns (at_ns>? AND at_ns<?)",
    ),
    "seq_at": (lambda log: log.seq_at(9), "COVERING INDEX events_at_ns (at_ns<?)"),
    "seq_after": (lambda log: log.seq_after(9, until_seq=99), "INTEGER PRIMARY KEY (rowid<?)"),
    "version": (lambda log: log.version("boat/a"), "_events_1 (stream=?)"),
    "version then": (
        lambda log: log.version("boat/a", until_seq=99, until_ns=99),
        "_events_1 (stream=?)",
    ),
}


@pytest.mark.parametrize(("ask", "index"), QUESTIONS.values(), ids=QUESTIONS.keys())
def test_it_uses_the_index_that_finds_the_fewest_rows(log: EventLog, ask: Ask, index: str) -> None:
    plans = Plans(log)

    ask(log)

    assert any(index in step for step in plans.found[0]), plans.found[0]
    assert not [plan for plan in plans.found if any(step.startswith("SCAN") for step in plan)]


def test_what_happened_at_some_time_is_read_from_there_on(log: EventLog) -> None:
    plans = Plans(log)

    found = list(log.read(since_ns=EVENTS - 2))

    assert 0 < len(found) <= 2
    assert len(plans.found) == 3, "the positions, the rows, and an empty block"


def matches(recorded: Recorded, asked: dict[str, Any]) -> bool:
    below, streams = asked.get("below"), asked.get("streams")
    return (
        recorded.seq > asked.get("after_seq", 0)
        and (streams is None or recorded.stream in streams)
        and (below is None or f"{recorded.stream}/".startswith(f"{below}/"))
        and recorded.event.TYPE in asked.get("types", ("noted", "crossed"))
        and recorded.at_ns >= asked.get("since_ns", 0)
        and recorded.at_ns <= asked.get("until_ns", EVENTS)
        and recorded.seq <= asked.get("until_seq", EVENTS)
    )


def test_any_selection_is_what_matches_everything_given(log: EventLog) -> None:
    everything, chance = list(log.read()), random.Random(8)
    assert len(everything) == EVENTS
    for _ in range(200):
        limits: dict[str, Any] = {
            name: chance.randrange(EVENTS + 1)
            for name in ("after_seq", "until_seq", "since_ns", "until_ns")
        }
        choices: dict[str, Any] = {
            "streams": chance.sample(STREAMS, chance.randrange(4)),
            "below": chance.choice(("boat/a", "boat/b", "boat/c")),
            "types": ["crossed"],
        }
        asked = {name: value for name, value in (limits | choices).items() if chance.random() < 0.3}

        found = list(log.read(**asked))

        assert found == [each for each in everything if matches(each, asked)], asked
