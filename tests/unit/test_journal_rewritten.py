"""Test a journal that is rewritten without what the daemon has taken over: each fact is read once,
whichever process dies when.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from engine.drivers.runs.journal import JournalReader
from engine.runtime import journal
from engine.runtime.facts import (
    AttachEnded,
    ExecProcessExited,
    MonitorBegan,
    ProcessExited,
    ProcessStarted,
)
from engine.runtime.journal import Journal

IDENTITY: Final = (7, 99, "b")
EXECS: Final = 20


class Killed(BaseException):
    """SIGKILL: it is not caught, and nothing is cleaned up."""


class DeadlyOs:
    """The module ``os``, until the n-th call of one of its functions: then the process dies, before
    the call or after it.
    """

    def __init__(self, dies_at: int, *, before: bool) -> None:
        self.calls = 0
        self.path = os.path
        self._dies_at = dies_at
        self._before = before

    def __getattr__(self, name: str) -> Any:
        found = getattr(os, name)
        return self._counted(found) if callable(found) else found

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.calls += 1
            if self.calls == self._dies_at and self._before:
                raise Killed
            result = function(*args)
            if self.calls == self._dies_at:
                raise Killed
            return result

        return call


def begun(path: Path) -> Journal:
    """Write a run with some execs."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    written = Journal(fd, grown=lambda count: None)
    written.append(MonitorBegan(*IDENTITY))
    written.append(AttachEnded(attach_id="a", reason="eof"))
    written.append(ProcessStarted(*IDENTITY))
    for number in range(EXECS):
        written.append(ExecProcessExited(exec_id=f"e{number}", code=number))
    return written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.1"


def test_a_rewritten_journal_keeps_the_starts_and_later_records(path: Path) -> None:
    written = begun(path)
    before_bytes = path.stat().st_size

    written.forget(EXECS)
    written.append(ProcessExited(code=0, signal=None, oom=False))

    records = JournalReader(path).read()
    assert [type(record) for record in records[:2]] == [MonitorBegan, ProcessStarted]
    assert [record.stamp.number for record in records] == [
        1,
        3,
        EXECS + 1,
        EXECS + 2,
        EXECS + 3,
        EXECS + 4,
    ]
    assert path.stat().st_size < before_bytes / 2
    assert list(path.parent.iterdir()) == [path]


def test_a_shortened_journal_still_shows_that_its_run_has_happened(path: Path) -> None:
    written = begun(path)

    for _ in range(3):
        written.forget(written.count)

    assert [record.stamp.number for record in JournalReader(path).read()] == [1, 3]
    assert path.stat().st_size


def test_a_reader_gets_every_record_exactly_once(path: Path) -> None:
    """It sees the journal before, between, and after several rewrites, or only some of them."""
    written, reader = begun(path), JournalReader(path)
    heard = [record.stamp.number for record in reader.read()]
    for round_number in range(30):
        for _ in range(round_number % 4):
            written.append(ExecProcessExited(exec_id="e", code=0))
        written.forget(heard[-1])
        if round_number % 3:
            written.append(ExecProcessExited(exec_id="e", code=0))
            heard += [record.stamp.number for record in reader.read()]

    heard += [record.stamp.number for record in reader.read()]
    assert heard == list(range(1, written.count + 1))
    assert [record.stamp.number for record in JournalReader(path).read()][:2] == [1, 3], (
        "a new daemon's"
    )


def test_a_rewrite_that_the_disk_refuses_leaves_the_journal_as_it_was(path: Path) -> None:
    written = begun(path)
    (path.parent / "journal.1.new").mkdir()

    with pytest.raises(OSError, match="directory"):
        written.forget(EXECS)

    written.append(ProcessExited(code=0, signal=None, oom=False))
    assert [record.stamp.number for record in JournalReader(path).read()] == list(
        range(1, written.count + 1)
    )


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_monitor_killed_at_any_call_leaves_one_whole_journal(
    before: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = EXECS
    whole, shortened = list(range(1, EXECS + 4)), [1, 3, *range(taken + 1, EXECS + 4)]
    outcomes, dies_at, survived = [], 1, False
    while not survived:
        path.unlink(missing_ok=True)
        written = begun(path)  # a dead monitor's .new file may be there
        deadly = DeadlyOs(dies_at, before=before)
        with monkeypatch.context() as patch:
            patch.setattr(journal, "os", deadly)
            try:
                written.forget(taken)
                survived = deadly.calls < dies_at
            except Killed:
                pass
        outcomes.append([record.stamp.number for record in JournalReader(path).read()])
        dies_at += 1

    assert dies_at > 8, "there was something to die at"
    first_new = outcomes.index(shortened)
    assert all(outcome == whole for outcome in outcomes[:first_new])
    assert all(outcome == shortened for outcome in outcomes[first_new:])
