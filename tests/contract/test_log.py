"""Test the event log on a real disk: it is durable, ordered and whole, and goes on after failures."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from engine.domain.event import SUPERVISOR, Event, Origin
from engine.store.chain import GENESIS, Row, next_hash
from engine.store.codec import Codec, encode_actor
from engine.store.errors import StoreUnavailable, VersionConflict
from engine.store.log import EventLog
from engine.store.read import BLOCK_ROWS
from engine.store.records import Change, Recorded

ORIGIN = Origin(actor=SUPERVISOR, cause=None, correlation="c0ffee")


class Noted(Event, frozen=True, kw_only=True):
    TYPE = "noted"

    text: str = ""


class Crossed(Event, frozen=True, kw_only=True):
    TYPE = "crossed"


CODEC = Codec([Noted, Crossed])


def change(
    stream: str, version: int = 1, *events: Event, at_ns: int = 7, gone: bool = False
) -> Change:
    snapshot = None if gone else f'{{"version":{version}}}'.encode()
    return Change(stream, version, events or (Noted(),), ORIGIN, at_ns, snapshot)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shipslog.db"


@pytest.fixture(params=[True, False], ids=["threaded", "inline"])
def log(path: Path, request: pytest.FixtureRequest) -> Iterator[EventLog]:
    opened = EventLog.open(path, codec=CODEC, threaded=request.param)
    yield opened
    opened.close()


def append(log: EventLog, *changes: Change) -> tuple[Recorded, ...]:
    async def one() -> tuple[Recorded, ...]:
        return await log.append(changes)

    return trio.run(one)


def seqs(recorded: Iterator[Recorded]) -> list[int]:
    return [one.seq for one in recorded]


def test_what_is_appended_is_read_back(log: EventLog) -> None:
    events = (Noted(text="Ahoj \N{SHIP}"), Crossed())

    recorded = append(log, change("boat/a", 1, *events, at_ns=99))

    assert [(one.seq, one.version, one.event) for one in recorded] == [
        (1, 1, events[0]),
        (2, 2, events[1]),
    ]
    assert tuple(log.read()) == recorded
    assert log.last_seq == 2


def test_each_hash_covers_the_row_and_the_hash_before(log: EventLog) -> None:
    first, second = append(log, change("boat/a", 1, Noted(text="x"), Crossed()))

    actor = encode_actor(SUPERVISOR)
    row = Row(1, "boat/a", 1, "noted", 1, '{"text":"x"}', 7, actor, None, "c0ffee")
    assert first.hash == next_hash(GENESIS, row)
    row = Row(2, "boat/a", 2, "crossed", 1, "{}", 7, actor, None, "c0ffee")
    assert second.hash == next_hash(first.hash, row)


def test_the_log_goes_on_where_it_ended(path: Path) -> None:
    for version in (1, 2, 3):
        log = EventLog.open(path, codec=CODEC)
        append(log, change("boat/a", version))
        log.close()

    log = EventLog.open(path, codec=CODEC)
    assert seqs(log.read()) == [1, 2, 3]
    assert log.verify_chain().problems == ()
    log.close()


def test_a_late_change_is_refused_and_hurts_nobody_else(log: EventLog) -> None:
    append(log, change("boat/a"))

    async def submit_together() -> None:
        pending = [
            log.submit([change("boat/b")]),
            log.submit([change("boat/a", 1)]),
            log.submit([change("boat/c")]),
        ]
        await pending[0].wait()
        with pytest.raises(VersionConflict, match="boat/a is at version 1"):
            await pending[1].wait()
        await pending[2].wait()

    trio.run(submit_together)

    assert [one.stream for one in log.read()] == ["boat/a", "boat/b", "boat/c"]


def test_what_was_decided_upon_a_refused_change_is_refused_too(log: EventLog) -> None:
    append(log, change("boat/a"))

    with pytest.raises(VersionConflict):
        append(log, change("boat/a", 3))

    assert log.last_seq == 1


def test_changes_given_together_are_all_written_or_none(log: EventLog) -> None:
    append(log, change("boat/a"))

    with pytest.raises(VersionConflict):
        append(log, change("boat/b"), change("boat/a", 1))

    assert log.last_seq == 1
    append(log, change("boat/b"), change("boat/b", 2), change("boat/a", 2))
    assert log.last_seq == 4


def test_a_cancelled_caller_still_learns_what_became_of_its_append(log: EventLog) -> None:
    async def cancelled() -> tuple[Recorded, ...]:  # type: ignore[return]  # mypy: the scope might swallow
        with trio.CancelScope() as scope:
            scope.cancel()
            return await log.append([change("boat/a")])

    assert trio.run(cancelled) == tuple(log.read())


def test_subscribers_hear_every_event_in_order(log: EventLog) -> None:
    heard: list[int] = []

    async def many() -> None:
        end = log.subscribe(lambda group: heard.extend(one.seq for one in group))
        async with trio.open_nursery() as callers:
            for number in range(50):
                callers.start_soon(log.append, [change(f"boat/{number}", 1, Noted(), Crossed())])
        end()
        await log.append([change("boat/unheard")])

    trio.run(many)

    assert heard == list(range(1, 101))


def test_appends_are_committed_in_the_order_of_submission(log: EventLog) -> None:
    async def many() -> None:
        pending = [log.submit([change("boat/a", version)]) for version in range(1, 101)]
        for one in pending:
            await one.wait()

    trio.run(many)

    assert [one.version for one in log.read()] == list(range(1, 101))


def test_an_aggregate_row_is_what_its_last_change_said(log: EventLog) -> None:
    append(log, change("boat/a"), change("boat/b"), change("boat/c"))
    append(log, change("boat/a", 2), change("boat/b", 2, gone=True), change("boat/a", 3))

    kept = [(one.stream, one.version, one.snapshot) for one in log.aggregates()]

    assert kept == [("boat/a", 3, b'{"version":3}'), ("boat/c", 1, b'{"version":1}')]


def test_a_removed_stream_keeps_its_version(log: EventLog) -> None:
    append(log, change("boat/a", 1, Noted(), Noted(), gone=True))

    assert log.version("boat/a") == 2
    assert log.version("boat/never") == 0
    append(log, change("boat/a", 3))


def test_a_value_that_the_database_cannot_hold_fails_alone(log: EventLog) -> None:
    async def together() -> None:
        pending = [
            log.submit([change("boat/a")]),
            log.submit([change("boat/b", at_ns=2**70)]),
            log.submit([change("boat/c")]),
        ]
        await pending[0].wait()
        with pytest.raises(Exception, match="a row was refused"):
            await pending[1].wait()
        await pending[2].wait()

    trio.run(together)

    assert [one.stream for one in log.read()] == ["boat/a", "boat/c"]
    assert log.verify_chain().problems == ()


def test_reading_selects_by_place_stream_type_and_time(log: EventLog) -> None:
    append(log, change("boat/a", 1, Noted(), Crossed(), at_ns=10))
    append(log, change("boat/b", 1, Noted(), at_ns=20), change("boat/a", 3, at_ns=30))

    assert seqs(log.read(2)) == [3, 4]
    assert seqs(log.read(1, until_seq=3)) == [2, 3]
    assert seqs(log.read(stream="boat/a")) == [1, 2, 4]
    assert seqs(log.read(types=["crossed"])) == [2]
    assert seqs(log.read(since_ns=20)) == [3, 4]
    assert seqs(log.read(until_ns=20)) == [1, 2, 3]
    assert seqs(log.read(limit=2)) == [1, 2]
    assert seqs(log.read(limit=0)) == []


def test_a_long_history_is_read_whole(log: EventLog) -> None:
    total = 2 * BLOCK_ROWS + 1
    append(log, change("boat/a", 1, *[Noted()] * total))

    assert seqs(log.read()) == list(range(1, total + 1))
    assert len(list(log.read(limit=BLOCK_ROWS + 1))) == BLOCK_ROWS + 1


def test_a_point_in_time_is_a_place_in_the_log_though_the_clock_jumped_back(log: EventLog) -> None:
    for version, at_ns in enumerate([10, 20, 5, 30], start=1):
        append(log, change("boat/a", version, at_ns=at_ns))

    assert [log.seq_at(at_ns) for at_ns in (4, 10, 20, 29, 30)] == [0, 3, 3, 3, 4]


@pytest.mark.parametrize(
    "forbidden",
    [
        "UPDATE events SET actor = 'nobody'",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT seq, stream, version, type, schema, '{}', at_ns, actor, cause, correlation, hash FROM events",
        "INSERT INTO events SELECT 1, 'boat/z', version, type, schema, '{}', at_ns, actor, cause, correlation, hash FROM events LIMIT 1",
    ],
)
def test_the_database_itself_refuses_to_forget(log: EventLog, forbidden: str) -> None:
    append(log, change("boat/a"), change("boat/b"))

    with sqlite3.connect(log.path) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(forbidden)
    connection.close()


def test_a_locked_database_refuses_and_recovers(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(log.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked by another process"):
        append(log, change("boat/a"))

    other.rollback()
    other.close()

    assert append(log, change("boat/a"))[0].seq == 1


def test_a_database_that_was_moved_is_not_written(log: EventLog) -> None:
    log.path.rename(log.path.with_name("elsewhere"))
    with pytest.raises(StoreUnavailable, match="has been moved"):
        append(log, change("boat/a"))

    log.path.with_name("elsewhere").rename(log.path)

    assert append(log, change("boat/a"))[0].seq == 1


def test_another_writer_is_noticed_and_its_events_are_kept(log: EventLog, path: Path) -> None:
    append(log, change("boat/a"))
    other = EventLog.open(path, codec=CODEC, threaded=False)
    append(other, change("boat/b"))
    other.close()

    with pytest.raises((StoreUnavailable, VersionConflict)):
        append(log, change("boat/a", 2))
    append(log, change("boat/a", 2))

    assert [one.stream for one in log.read()] == ["boat/a", "boat/b", "boat/a"]
    assert log.verify_chain().problems == ()


def test_what_was_acknowledged_survives_sigkill(path: Path) -> None:
    """The page cache survives SIGKILL, too. Only a power cut would test the sync of SQLite's
    journal.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            log = EventLog.open(path, codec=CODEC, threaded=False)
            for version in range(1, 100_000):
                append(log, change("boat/a", version))
                os.write(writer, b".")
        finally:
            os._exit(1)
    os.close(writer)
    acknowledged = sum(len(os.read(reader, 1)) for _ in range(40))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while rest := os.read(reader, 4096):
        acknowledged += len(rest)
    os.close(reader)

    log = EventLog.open(path, codec=CODEC, threaded=False)

    assert acknowledged <= log.last_seq <= acknowledged + 1
    assert seqs(log.read()) == list(range(1, log.last_seq + 1))
    assert log.verify_chain().problems == ()
    assert [one.version for one in log.aggregates()] == [log.last_seq]
    log.close()
