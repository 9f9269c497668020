"""Test a container with many execs over months: its journal stays short, and no fact is lost or
recorded twice.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from engine.domain import naming
from engine.domain.ids import ContainerId
from engine.drivers.effects import journals
from engine.drivers.runs.journal import JournalReader
from engine.runtime.facts import ExecProcessExited
from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.conditions import eventually, wait_until_gone
from tests.harness.daemon import DaemonUnderTest

BYTES_MAX: Final = 2048
"""Some six execs, so that a test need not run thousands."""
EXECS: Final = 25


@pytest.fixture
def daemon(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DaemonUnderTest]:
    """Run a daemon that has journals shortened early."""
    monkeypatch.setattr(journals, "JOURNAL_BYTES_MAX", BYTES_MAX)
    with DaemonUnderTest(place, forked=True) as made:
        yield made.start().import_busybox()


def journal(daemon: DaemonUnderTest, container: str) -> Path:
    return naming.journal_path(daemon.data_root, ContainerId(container), 1)


def exits_written(daemon: DaemonUnderTest, container: str) -> int:
    return sum(
        isinstance(each, ExecProcessExited)
        for each in JournalReader(journal(daemon, container)).read()
    )


def reported_exits(daemon: DaemonUnderTest) -> list[int]:
    """Return the exit codes of all execs, from the history."""
    return [entry["data"]["code"] for entry in daemon.api.history(type="exec_exited")]


def test_a_journal_stays_short_through_any_number_of_execs(daemon: DaemonUnderTest) -> None:
    container = daemon.api.run("busy", *STOPS_AT_ONCE)
    for number in range(EXECS):
        assert daemon.api.exec_output(container, "sh", "-c", f"exit {number}")[0] == number
        assert journal(daemon, container).stat().st_size < 2 * BYTES_MAX
        if number in (7, 8, 16):
            daemon.restart()

    assert reported_exits(daemon) == list(range(EXECS))
    daemon.kill()
    daemon.start()
    assert reported_exits(daemon) == list(range(EXECS))
    daemon.api.stop(container)
    assert daemon.api.inspect(container)["State"]["ExitCode"] == 0
    daemon.assert_settled()


def test_exits_of_execs_are_recorded_after_a_time_without_a_daemon(daemon: DaemonUnderTest) -> None:
    """Execs that end while the daemon is down, more of them than a short journal would hold."""
    container = daemon.api.run("busy", *STOPS_AT_ONCE)
    for number in range(EXECS):
        wait = f"while test ! -e /go; do sleep 0.02; done; exit {number}"
        identity = daemon.api.create_exec(container, "sh", "-c", wait)
        daemon.api.post(f"/exec/{identity}/start", {"Detach": True})
    assert daemon.api.exec_output(container, "true")[0] == 0
    pid = daemon.api.inspect(container)["State"]["Pid"]
    daemon.kill()
    before = exits_written(daemon, container)

    Path(f"/proc/{pid}/root/go").touch()
    eventually(lambda: exits_written(daemon, container) == before + EXECS, "all have ended")
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)

    daemon.start()
    eventually(lambda: sorted(reported_exits(daemon)) == [0, *range(EXECS)], "all is in the log")
    assert daemon.api.inspect(container)["State"]["ExitCode"] == 137
