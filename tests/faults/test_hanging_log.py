"""Test a disk that doesn't answer: the log's writer hangs in the kernel, and the daemon can still
be read and stopped.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.store.commit import Batch, Committer, Outcome
from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.client import Reply
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest


@pytest.fixture
def hanging(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a path; commits hang while a file is there. The daemon is forked and inherits the
    patch.
    """
    marker, commit = place / "hang", Committer.commit

    def hang(committer: Committer, batches: Sequence[Batch]) -> list[Outcome]:
        if marker.exists():
            (marker.parent / "hangs").touch()
            threading.Event().wait()
        return commit(committer, batches)

    monkeypatch.setattr(Committer, "commit", hang)
    return marker


def test_a_daemon_whose_log_hangs_answers_reads_and_ends_in_time(
    hanging: Path, daemon: DaemonUnderTest
) -> None:
    box = daemon.api.run("box", *STOPS_AT_ONCE)
    answers: list[Reply] = []
    hanging.touch()

    def create() -> None:
        body = {"Image": "busybox", "Cmd": ["true"]}
        answers.append(daemon.api.request("POST", "/containers/create", body, timeout_s=60.0))

    waiting = threading.Thread(target=create)
    waiting.start()
    eventually((hanging.parent / "hangs").exists, "the writer hangs")
    assert daemon.api.status(box) == "running"
    assert daemon.api.event_types(box)[0] == "container_created"

    assert daemon.terminate() == 0

    waiting.join()
    assert [reply.status for reply in answers] == [503]
    assert "the disk does not answer" in answers[0].message
    assert "event_log_not_closed" in daemon.log
    hanging.unlink()
    daemon.start()
    assert [each["Id"] for each in daemon.api.ps()] == [box]
    assert daemon.api.verify()["ok"]
