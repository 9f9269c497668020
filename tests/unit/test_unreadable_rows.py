"""Test a row that can't be read: its container is dead; everything else is there, verify names the
row, nothing is rewritten.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from engine.domain.container.events import Created, Removed, RemoveRequested, Renamed
from engine.domain.container.phases import Phase
from engine.domain.container.spec import Spec
from engine.domain.event import SUPERVISOR, Origin
from engine.domain.exec.state import ExecCreated, ExecSpec
from engine.domain.host import HostInitialised
from engine.domain.ids import ContainerId, ExecId, ImageId, InstanceId
from engine.domain.streams import HOST, container_stream, exec_stream
from engine.queries.history import History, Question, Verdict
from engine.store.errors import StoreCorrupt
from engine.store.ledger import Ledger
from engine.store.log import EventLog

ORIGIN = Origin(actor=SUPERVISOR)
SPEC = Spec(image="busybox", image_id=ImageId("sha256:" + "0" * 64))
BAD, GOOD = ContainerId("b" * 64), ContainerId("a" * 64)
EXEC = ExecId("e" * 64)
BAD_STREAM = container_stream(BAD)


class Clock:
    def wall_ns(self) -> int:
        return 7

    def boot_ns(self) -> int:
        return 7


def opened(path: Path) -> Ledger:
    return Ledger(EventLog.open(path, threaded=False), Clock())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a database with two containers, one of which was renamed and has an exec."""
    database = tmp_path / "shipslog.db"
    ledger = opened(database)

    async def history() -> None:
        await ledger.record(ORIGIN, (HOST, (HostInitialised(instance=InstanceId("f" * 32)),)))
        for identity, name in ((BAD, "bad"), (GOOD, "good")):
            created = Created(id=identity, name=name, spec=SPEC)
            await ledger.record(ORIGIN, (container_stream(identity), (created,)))
        await ledger.record(ORIGIN, (BAD_STREAM, (Renamed(name="worse", before="bad"),)))
        execution = ExecCreated(id=EXEC, container=BAD, spec=ExecSpec(arguments=("true",)))
        await ledger.record(ORIGIN, (exec_stream(BAD, EXEC), (execution,)))

    trio.run(history)
    ledger.log.close()
    return database


def change_row(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for trigger in ("update", "delete", "elsewhere"):
            connection.execute(f"DROP TRIGGER IF EXISTS events_refuse_{trigger}")
        assert connection.execute(statement, values).rowcount == 1


def spoil_state(path: Path, stream: str, data: object = b"\x00not JSON") -> None:
    change_row(path, "UPDATE aggregates SET data = ? WHERE stream = ?", data, stream)


def spoil_event(path: Path, stream: str, version: int, data: str = "{") -> None:
    statement = "UPDATE events SET data = ? WHERE stream = ? AND version = ?"
    change_row(path, statement, data, stream, version)


def rows(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        events = connection.execute("SELECT * FROM events ORDER BY seq").fetchall()
        return events + connection.execute("SELECT * FROM aggregates ORDER BY stream").fetchall()


def verdict_of(ledger: Ledger) -> Verdict:
    return trio.run(History(ledger).verify)


@pytest.mark.parametrize("data", [b"\x00not JSON", b"{}", b'{"id": 7}', "", 12])
def test_a_state_that_can_not_be_read_is_one_dead_container(path: Path, data: object) -> None:
    spoil_state(path, BAD_STREAM, data)
    before = rows(path)

    ledger = opened(path)
    found = ledger.durable.containers[BAD]

    assert found.phase is Phase.DEAD
    assert f"the stored state of {BAD_STREAM} can't be read" in found.error
    assert ledger.head.container("worse") == ledger.durable.container("worse") == found
    assert ledger.durable.containers[GOOD].phase is Phase.CREATED
    assert any(BAD_STREAM in problem for problem in verdict_of(ledger).problems)
    assert rows(path) == before
    ledger.log.close()


@pytest.mark.parametrize(
    "change", [{"id": GOOD}, {"networks": [{"name": "mine", "ipv4": "nowhere"}]}], ids=str
)
def test_an_inconsistent_state_can_not_be_read(path: Path, change: dict[str, object]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT data FROM aggregates WHERE stream = ?"
        (stored,) = connection.execute(query, (BAD_STREAM,)).fetchone()
    spoil_state(path, BAD_STREAM, json.dumps(json.loads(stored) | change).encode())

    ledger = opened(path)

    assert ledger.durable.containers[BAD].phase is Phase.DEAD
    assert ledger.durable.containers[GOOD].phase is Phase.CREATED
    ledger.log.close()


def test_of_a_history_that_can_not_be_read_either_what_went_before_is_known(path: Path) -> None:
    spoil_state(path, BAD_STREAM)
    spoil_event(path, BAD_STREAM, 2)

    ledger = opened(path)

    assert ledger.durable.container("bad").phase is Phase.DEAD
    ledger.log.close()


def test_nothing_need_be_known_but_the_id(path: Path) -> None:
    spoil_state(path, BAD_STREAM)
    spoil_event(path, BAD_STREAM, 1)

    ledger = opened(path)

    assert ledger.durable.container(BAD[:12]).phase is Phase.DEAD
    ledger.log.close()


def test_a_dead_container_can_be_removed_and_the_log_goes_on(path: Path) -> None:
    spoil_state(path, BAD_STREAM)
    spoil_event(path, BAD_STREAM, 2)
    ledger = opened(path)

    async def remove() -> None:
        await ledger.record(ORIGIN, (BAD_STREAM, (RemoveRequested(force=True, volumes=False),)))
        await ledger.record(ORIGIN, (BAD_STREAM, (Removed(),)))

    trio.run(remove)
    ledger.log.close()
    again = opened(path)

    assert not again.unreadable
    assert set(again.durable.containers) == {GOOD}
    again.log.close()


def test_an_event_that_can_not_be_read_is_named_and_the_rest_is_shown(path: Path) -> None:
    spoil_event(path, BAD_STREAM, 2)
    ledger = opened(path)
    history = History(ledger)

    async def types() -> list[str]:
        return [entry.type async for block in history.entries(Question()) for entry in block]

    verdict = verdict_of(ledger)

    assert ledger.durable.containers[BAD].phase is Phase.CREATED
    assert verdict.first_bad_seq == 4
    assert any(f"event 4 of {BAD_STREAM} can't be read" in each for each in verdict.problems)
    assert trio.run(types) == [
        *("host_initialised", "container_created", "container_created", "unreadable"),
        "exec_created",
    ]
    assert trio.run(history.view_at, 7).containers[BAD].phase is Phase.DEAD
    assert trio.run(history.view_at, 7).containers[GOOD].phase is Phase.CREATED
    ledger.log.close()


def test_other_kinds_are_what_their_events_say(path: Path) -> None:
    spoil_state(path, HOST)
    spoil_state(path, exec_stream(BAD, EXEC))

    ledger = opened(path)

    assert ledger.durable.host.instance == "f" * 32
    assert set(ledger.durable.execs) == {EXEC}
    assert len(verdict_of(ledger).problems) == 2
    ledger.log.close()


def test_without_the_machine_s_own_beginning_there_is_no_log(path: Path) -> None:
    spoil_state(path, HOST)
    spoil_event(path, HOST, 1)

    with pytest.raises(StoreCorrupt, match="the stored state of host can't be read"):
        opened(path)


def test_the_state_of_an_exec_written_before_its_time_was_kept_is_sound(path: Path) -> None:
    stream = exec_stream(BAD, EXEC)
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT data FROM aggregates WHERE stream = ?"
        (stored,) = connection.execute(query, (stream,)).fetchone()
    fields = json.loads(stored)
    del fields["created_ns"]
    spoil_state(path, stream, json.dumps(fields).encode())

    ledger = opened(path)

    assert ledger.durable.execs[EXEC].created_ns == 0
    assert verdict_of(ledger).problems == ()
    ledger.log.close()
