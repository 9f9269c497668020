"""Test that a writer which fails anywhere answers every caller, and goes on when the cause is gone."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from engine.domain.event import SUPERVISOR, Event, Origin
from engine.store.codec import Codec
from engine.store.commit import Committer
from engine.store.errors import StoreUnavailable
from engine.store.log import EventLog
from engine.store.records import Change
from engine.store.reserve import SLICE_BYTES, Reserve

ORIGIN = Origin(actor=SUPERVISOR)
ANSWER_TIMEOUT_S = 20.0
"""Real time, and only reached when a caller is left waiting."""


class Noted(Event, frozen=True, kw_only=True):
    TYPE = "noted"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shipslog.db"


@pytest.fixture
def log(path: Path) -> Iterator[EventLog]:
    opened = EventLog.open(path, codec=Codec([Noted]))
    yield opened
    opened.close()


def change(version: int, stream: str = "boat/1") -> Change:
    return Change(stream, version, (Noted(),), ORIGIN, 7, b"{}")


def outcome_of(log: EventLog, *changes: Change) -> str:
    """Append changes, and return the last version or the name of the error."""

    async def append() -> str:
        pending = log.submit(changes)
        with trio.fail_after(ANSWER_TIMEOUT_S):
            await pending._answered.wait()
        try:
            return str((await pending.wait())[-1].version)
        except StoreUnavailable as error:
            return type(error).__name__

    return trio.run(append)


def failing(*_: object, **__: object) -> Any:
    raise OSError(5, "Input/output error")


def test_a_refill_whose_undoing_fails_too_is_no_end(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log._committer._reserve.spend()
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", failing)
        patch.setattr(os, "ftruncate", failing)
        refused = [outcome_of(log, change(1)), outcome_of(log, change(1))]

    assert refused == ["StoreFull", "StoreFull"]
    assert outcome_of(log, change(1)) == "1"


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Committer, "commit"),
        (Committer, "_commit"),
        (Committer, "_transact"),
        (Committer, "_write"),
        (Committer, "_read_version"),
        (Committer, "_refuse_another_file"),
    ],
    ids=lambda given: getattr(given, "__name__", given),
)
def test_a_failure_at_any_place_is_answered_and_the_next_append_works(
    log: EventLog, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing)
        refused = outcome_of(log, change(1), change(1, "boat/2"))

    assert refused == "StoreUnavailable"
    assert outcome_of(log, change(1)) == "1"


def test_a_failure_while_the_disk_is_full_is_answered(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Reserve, "spent", property(failing))
        refused = outcome_of(log, change(1))

    assert refused == "StoreUnavailable"
    assert outcome_of(log, change(1)) == "1"


def in_open_transaction(log: EventLog) -> Callable[..., Any]:
    """Return a rollback that fails, so that the connection is left in its transaction."""

    def rollback(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    return rollback


def test_a_transaction_that_could_not_be_undone_is_left_behind(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(log._writer.dialect, "do_rollback", in_open_transaction(log))
        patch.setattr(Committer, "_write", failing)
        refused = outcome_of(log, change(1))

    assert refused == "StoreUnavailable"
    assert outcome_of(log, change(1)) == "1"
    assert [recorded.seq for recorded in log.read()] == [1]


def test_a_log_whose_writer_failed_can_be_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = EventLog.open(path, codec=Codec([Noted]))
    with monkeypatch.context() as patch:
        patch.setattr(Committer, "commit", failing)
        assert outcome_of(opened, change(1)) == "StoreUnavailable"
    thread = opened._thread

    opened.close()

    assert thread is not None
    assert not thread.is_alive()


def test_the_reserve_knows_its_size_after_a_failed_refill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = Reserve(tmp_path / "reserve")
    reserve.spend()
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", failing)
        patch.setattr(os, "ftruncate", failing)

        assert not reserve.refill()

    assert reserve.refill()
    assert (tmp_path / "reserve").stat().st_size >= SLICE_BYTES


class Hanging:
    """Two events: commits have begun to hang, and commits may go on."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    hanging, commit = Hanging(), Committer.commit

    def hang(committer: Committer, batches: Any) -> Any:
        hanging.begun.set()
        hanging.let_go.wait()
        return commit(committer, batches)

    monkeypatch.setattr(Committer, "commit", hang)
    monkeypatch.setattr("engine.store.log.CLOSE_TIMEOUT_S", 0.01)
    yield hanging
    hanging.let_go.set()


def test_a_log_whose_writer_hangs_is_closed_in_time_and_says_so(
    path: Path, hanging: Hanging
) -> None:
    opened = EventLog.open(path, codec=Codec([Noted]))

    async def submit() -> None:
        opened.submit([change(1)])

    trio.run(submit)
    with capture_logs() as logged:
        opened.close()

    assert [each["event"] for each in logged] == ["event_log_not_closed"]
    hanging.let_go.set()
    assert opened._thread is not None
    opened._thread.join(ANSWER_TIMEOUT_S)
    assert not opened._thread.is_alive(), "it closes the database once the kernel lets it go"
    again = EventLog.open(path, codec=Codec([Noted]))
    assert [recorded.seq for recorded in again.read()] == [1]
    again.close()


def test_an_abandoned_log_refuses_who_waits_and_who_comes(path: Path, hanging: Hanging) -> None:
    opened, heard = EventLog.open(path, codec=Codec([Noted])), list[object]()
    opened.subscribe(heard.append)

    async def abandon() -> None:
        waiting = [opened.submit([change(1)]), opened.submit([change(2)])]
        await trio.to_thread.run_sync(hanging.begun.wait)
        assert opened.is_hanging(0.0)
        assert not opened.is_hanging(3600.0)
        opened.abandon()
        for pending in waiting:
            with pytest.raises(StoreUnavailable, match="the disk does not answer"):
                await pending.wait()
        with pytest.raises(StoreUnavailable, match="the disk does not answer"):
            opened.submit([change(3)])
        hanging.let_go.set()
        assert opened._thread is not None
        opened._queue.put(None)
        await trio.to_thread.run_sync(opened._thread.join)
        await trio.testing.wait_all_tasks_blocked()

    trio.run(abandon)

    assert heard == [], "what became durable later is for the next start"
    opened.close()
