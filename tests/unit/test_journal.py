"""A monitor's journal, written and read back."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from engine.domain.container_events import ProcessIdentity
from engine.drivers.runs.journal import (
    ExecStarted,
    Exited,
    JournalReader,
    MonitorStarted,
    StartFailed,
    fact,
    read_journal,
)
from engine.runtime.journal import Journal
from engine.supervisor.observation import MonitorBegan, ProcessExited, ProcessNotStarted

IDENTITY: Final[dict[str, Any]] = {"pid": 7, "start_ticks": 99, "boot_id": "b"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.1"


@pytest.fixture
def written(path: Path) -> Iterator[Journal]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    yield Journal(fd, grown=lambda count: None)
    os.close(fd)


def test_records_are_numbered_and_come_back_as_they_were(path: Path, written: Journal) -> None:
    written.append("monitor_started", **IDENTITY)
    written.append("exited", code=137, signal=9, oom=True)

    first, last = read_journal(path)

    assert isinstance(first, MonitorStarted)
    assert isinstance(last, Exited)
    assert (first.n, last.n) == (1, 2)
    assert (last.code, last.signal, last.oom) == (137, 9, True)
    assert first.at_ns <= last.at_ns
    assert first.boot_ns <= last.boot_ns


def test_only_records_after_a_number_are_asked_for(path: Path, written: Journal) -> None:
    for code in range(5):
        written.append("exec_exited", exec_id="e", code=code)

    assert [record.n for record in read_journal(path, after_n=3)] == [4, 5]


def test_a_torn_last_line_was_never_written(path: Path, written: Journal) -> None:
    written.append("monitor_started", **IDENTITY)
    with path.open("ab") as file:
        file.write(b'{"n":2,"type":"exi')

    assert len(read_journal(path)) == 1


def test_a_reader_goes_on_where_it_was_once_the_line_is_whole(path: Path, written: Journal) -> None:
    reader = JournalReader(path)
    assert reader.read() == ()
    written.append("monitor_started", **IDENTITY)
    assert len(reader.read()) == 1
    record = b'{"n":2,"type":"exited","at_ns":1,"boot_ns":1,"code":0,"signal":null,"oom":false}\n'
    with path.open("ab") as file:
        file.write(record[:30])
    assert reader.read() == ()
    with path.open("ab") as file:
        file.write(record[30:])

    assert [record.n for record in reader.read()] == [2]


def test_damage_in_the_middle_hides_nothing_after_it(path: Path, written: Journal) -> None:
    written.append("monitor_started", **IDENTITY)
    with path.open("ab") as file:
        file.write(bytes(100) + b"\n" + b'{"n":9,"type":"unheard_of"}\n')
    written.append("exited", code=0, signal=None, oom=False)

    assert [type(record) for record in read_journal(path)] == [MonitorStarted, Exited]


def test_a_journal_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "none") == ()


def test_a_full_disk_delays_a_record_and_loses_none() -> None:
    full_fd = os.open("/dev/full", os.O_WRONLY)
    told: list[int] = []
    waiting = Journal(full_fd, told.append)

    done = waiting.append("exited", code=0, signal=None, oom=False)

    os.close(full_fd)
    assert not done
    assert told == []


def test_messages_with_quotes_and_newlines_survive(path: Path, written: Journal) -> None:
    message = 'exec: "nope":\nnot found ☃'
    written.append("start_failed", step="s", errno=2, message=message, exit_code=127)

    (record,) = read_journal(path)

    assert isinstance(record, StartFailed)
    assert record.message == message


def test_records_are_facts_to_the_supervisor(path: Path, written: Journal) -> None:
    written.append("monitor_started", **IDENTITY)
    written.append("start_failed", step="s", errno=2, message="m", exit_code=127)
    written.append("exec_started", exec_id="e", **IDENTITY)
    written.append("exited", code=0, signal=None, oom=False)

    began, failed, executed, exited = (fact(record) for record in read_journal(path))

    assert isinstance(began, MonitorBegan)
    assert began.monitor == ProcessIdentity(pid=7, start_ticks=99, boot_id="b")
    assert isinstance(failed, ProcessNotStarted)
    assert executed.number == 3
    assert isinstance(exited, ProcessExited)
    assert isinstance(read_journal(path)[2], ExecStarted)
