"""Test a monitor's journal, written and read back."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from engine.domain.container.events import ProcessIdentity
from engine.drivers.runs.journal import JournalReader
from engine.ports.observation import identity_of
from engine.runtime.facts import (
    RECORD_TYPES,
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
    Stamp,
    from_line,
    to_line,
)
from engine.runtime.journal import Journal

IDENTITY: Final = (7, 99, "b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.1"


@pytest.fixture
def written(path: Path) -> Iterator[Journal]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    yield Journal(fd, grown=lambda count: None)
    os.close(fd)


def test_records_are_numbered_and_come_back_as_they_were(path: Path, written: Journal) -> None:
    written.append(MonitorBegan(*IDENTITY))
    written.append(ProcessExited(code=137, signal=9, oom=True))

    first, last = JournalReader(path).read()

    assert isinstance(first, MonitorBegan)
    assert isinstance(last, ProcessExited)
    assert (first.stamp.number, last.stamp.number) == (1, 2)
    assert (last.code, last.signal, last.oom) == (137, 9, True)
    assert first.stamp.at_ns <= last.stamp.at_ns
    assert first.stamp.boot_ns <= last.stamp.boot_ns


def test_a_torn_last_line_was_never_written(path: Path, written: Journal) -> None:
    written.append(MonitorBegan(*IDENTITY))
    with path.open("ab") as file:
        file.write(b'{"n":2,"type":"exi')

    assert len(JournalReader(path).read()) == 1


def test_a_reader_goes_on_where_it_was_once_the_line_is_whole(path: Path, written: Journal) -> None:
    reader = JournalReader(path)
    assert reader.read() == ()
    written.append(MonitorBegan(*IDENTITY))
    assert len(reader.read()) == 1
    record = b'{"n":2,"type":"exited","at_ns":1,"boot_ns":1,"code":0,"signal":null,"oom":false}\n'
    with path.open("ab") as file:
        file.write(record[:30])
    assert reader.read() == ()
    with path.open("ab") as file:
        file.write(record[30:])

    assert [record.stamp.number for record in reader.read()] == [2]


def test_damage_in_the_middle_hides_nothing_after_it(path: Path, written: Journal) -> None:
    written.append(MonitorBegan(*IDENTITY))
    with path.open("ab") as file:
        file.write(bytes(100) + b"\n" + b'{"n":9,"type":"unheard_of"}\n')
    written.append(ProcessExited(code=0, signal=None, oom=False))

    assert [type(record) for record in JournalReader(path).read()] == [MonitorBegan, ProcessExited]


def test_a_journal_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert JournalReader(tmp_path / "none").read() == ()


def test_a_full_disk_delays_a_record_and_loses_none() -> None:
    full_fd = os.open("/dev/full", os.O_WRONLY)
    notified: list[int] = []
    waiting = Journal(full_fd, notified.append)

    done = waiting.append(ProcessExited(code=0, signal=None, oom=False))

    os.close(full_fd)
    assert not done
    assert notified == []


def test_messages_with_quotes_and_newlines_survive(path: Path, written: Journal) -> None:
    message = 'exec: "nope":\nnot found ☃'
    written.append(ProcessNotStarted(step="s", errno=2, message=message, exit_code=127))

    (record,) = JournalReader(path).read()

    assert isinstance(record, ProcessNotStarted)
    assert record.message == message


def test_records_are_facts_to_the_supervisor(path: Path, written: Journal) -> None:
    written.append(MonitorBegan(*IDENTITY))
    written.append(ProcessNotStarted(step="s", errno=2, message="m", exit_code=127))
    written.append(ExecProcessStarted("e", *IDENTITY))
    written.append(ProcessExited(code=0, signal=None, oom=False))

    began, failed, executed, exited = JournalReader(path).read()

    assert isinstance(began, MonitorBegan)
    assert identity_of(began) == ProcessIdentity(pid=7, start_ticks=99, boot_id="b")
    assert isinstance(failed, ProcessNotStarted)
    assert executed.stamp.number == 3
    assert isinstance(exited, ProcessExited)
    assert isinstance(JournalReader(path).read()[2], ExecProcessStarted)


STAMP: Final = Stamp(3, 1764277200000000001, 81000000000)
_HEAD: Final = '{"n":3,"type":"TYPE","at_ns":1764277200000000001,"boot_ns":81000000000,'
RELEASED: Final[tuple[tuple[str, str, Fact], ...]] = (
    ("monitor_started", '"pid":7,"start_ticks":99,"boot_id":"b"}', MonitorBegan(*IDENTITY)),
    ("started", '"pid":7,"start_ticks":99,"boot_id":"b"}', ProcessStarted(*IDENTITY)),
    (
        "start_failed",
        '"step":"execve","errno":2,"message":"a \\"b\\"\\n","exit_code":127}',
        ProcessNotStarted("execve", 2, 'a "b"\n', 127),
    ),
    ("exited", '"code":137,"signal":9,"oom":true}', ProcessExited(137, 9, oom=True)),
    ("exited", '"code":0,"signal":null,"oom":false}', ProcessExited(0, None, oom=False)),
    ("oom", '"count":2}', MemoryExhausted(2)),
    ("log_dropped", '"bytes":4096}', LogDropped(4096)),
    ("attach_closed", '"attach_id":"a","reason":"eof"}', AttachEnded("a", "eof")),
    (
        "exec_started",
        '"exec_id":"e","pid":7,"start_ticks":99,"boot_id":"b"}',
        ExecProcessStarted("e", *IDENTITY),
    ),
    (
        "exec_failed",
        '"exec_id":"e","message":"m","exit_code":126}',
        ExecProcessNotStarted("e", "m", 126),
    ),
    ("exec_exited", '"exec_id":"e","code":5}', ExecProcessExited("e", 5)),
)
"""What monitors of the first releases have written, byte for byte."""


@pytest.mark.parametrize(("kind", "rest", "fact"), RELEASED)
def test_a_record_is_written_and_read_as_in_every_release(kind: str, rest: str, fact: Fact) -> None:
    line = (_HEAD.replace("TYPE", kind) + rest).encode()
    stamped = fact._replace(stamp=STAMP)

    assert to_line(fact, STAMP) == line
    assert from_line(line) == stamped
    assert type(from_line(line)) is type(fact)


def test_every_kind_of_record_is_among_the_released_ones() -> None:
    assert {kind for kind, _, _ in RELEASED} == set(RECORD_TYPES.values())


@pytest.mark.parametrize(
    "damage",
    [
        b"[]",
        b"7",
        b"{}",
        b'{"n":1,"type":"exited"}',
        b'{"n":"1","type":"oom","at_ns":1,"boot_ns":1,"count":1}',
        b'{"n":1,"type":"oom","at_ns":1,"boot_ns":1,"count":"1"}',
        b'{"n":1,"type":[],"at_ns":1,"boot_ns":1,"count":1}',
        b'\xff{"n":1}',
    ],
)
def test_a_line_that_is_no_record_is_no_fact(damage: bytes) -> None:
    assert from_line(damage) is None


def test_a_field_of_a_later_release_is_passed_over() -> None:
    line = b'{"n":1,"type":"oom","at_ns":1,"boot_ns":1,"count":4,"who":"cat"}'

    assert from_line(line) == MemoryExhausted(4, Stamp(1, 1, 1))
