"""Test questions that read all of the log: they end although somebody writes, and with their
client.
"""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import trio

from engine.queries import threads
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

RENAMES: Final = 150
"""Enough events for a pause in the middle of each question."""
ATTENTION_S: Final = 20.0
"""Real time, and only reached when the thread of a question never hears that its client has gone."""
QUESTIONS: Final[dict[str, Callable[[], str]]] = {
    "verify": lambda: "/shipslog/verify",
    "ps --at": lambda: f"/shipslog/containers/json?all=1&at={time.time_ns()}",
    "history": lambda: "/shipslog/history",
    "events": lambda: f"/events?since=1&until={time.time()}",
}


def rename(daemon: DaemonUnderTest, container: str, times: int) -> None:
    for number in range(times):
        daemon.api.post(f"/containers/{container}/rename", name=f"box-{number}")


@pytest.fixture
def pauses(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory in which a question that pauses makes ``begun``, and one that is ended
    makes ``ended``. While ``armed`` is there, a question stays in its first pause until its client
    has gone. The daemon is forked and inherits the patch.
    """
    directory, look = place / "pauses", threads.pause
    directory.mkdir()

    def pause() -> None:
        if not (directory / "armed").exists():
            return
        (directory / "begun").touch()
        deadline_s = time.monotonic() + ATTENTION_S
        while time.monotonic() < deadline_s:
            try:
                look()
            except trio.Cancelled:
                (directory / "ended").touch()
                raise

    monkeypatch.setattr("engine.queries.threads.pause", pause)
    monkeypatch.setattr("engine.queries.history.pause", pause)
    return directory


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_ends_with_its_client(
    pauses: Path, daemon: DaemonUnderTest, question: str
) -> None:
    rename(daemon, daemon.api.create("box", "true"), RENAMES)
    (pauses / "armed").touch()

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(daemon.api.socket_path))
        client.sendall(f"GET {QUESTIONS[question]()} HTTP/1.1\r\nHost: shipslog\r\n\r\n".encode())
        eventually((pauses / "begun").exists, "the question is being answered")

    eventually((pauses / "ended").exists, "the question is ended")
    (pauses / "armed").unlink()
    assert daemon.api.verify()["ok"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_ends_although_somebody_writes(daemon: DaemonUnderTest, question: str) -> None:
    container, over, appends = daemon.api.create("box", "true"), threading.Event(), 0
    rename(daemon, container, RENAMES)

    def write() -> None:
        nonlocal appends
        while not over.is_set():
            daemon.api.post(f"/containers/{container}/rename", name=f"ship-{appends}")
            appends += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        eventually(lambda: appends > 0, "somebody writes")
        before = appends
        replies = [daemon.api.request("GET", QUESTIONS[question]()) for _ in range(5)]
        during = appends - before
    finally:
        over.set()
        writer.join()

    assert [reply.status for reply in replies] == [200] * len(replies)
    assert during > 0
    assert daemon.api.verify()["ok"]
