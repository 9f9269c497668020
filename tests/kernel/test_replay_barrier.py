"""Test clients at a barrier: while it is closed no output is sent, and none is lost."""

import os
import socket
from collections.abc import Iterator

import pytest

from engine.runtime import replay_barrier
from engine.runtime.clients import frame_header
from engine.runtime.facts import EOF, SLOW
from engine.runtime.loop import Loop
from engine.runtime.messages import Attachment
from engine.runtime.streams import Stdio


class Log:
    """A sink that remembers, and keeps back what has no newline."""

    def __init__(self) -> None:
        self.written = b""
        self.kept = b""

    def write(self, stream: str, block: bytes) -> None:
        lines, newline, self.kept = (self.kept + block).rpartition(b"\n")
        self.written += lines + newline

    def end(self, stream: str) -> None:
        self.written += self.kept

    def unended(self, stream: str) -> bytes:
        return self.kept if stream == "stdout" else b""


class FakeProcess:
    """A process's output that the test controls, and its clients."""

    def __init__(self) -> None:
        self.loop, self.log = Loop(), Log()
        self.gone: list[tuple[str, str]] = []
        self.stdio = Stdio(
            self.loop, tty=False, closes_input=False, sink=self.log, detached=self.detached
        )
        stdout_end, self.stdout_fd = os.pipe()
        self.stdio.open_pipes(None, stdout_end, None)
        self.sockets: list[socket.socket] = []
        self.gates: list[int] = []

    def detached(self, attachment: Attachment, reason: str) -> None:
        self.gone.append((attachment.attach_id, reason))

    def client(self, name: str) -> socket.socket:
        return self._attach(name, None)

    def at_gate(self, name: str) -> tuple[socket.socket, int]:
        theirs, ours = os.pipe()
        self.gates.append(ours)
        return self._attach(name, theirs), ours

    def _attach(self, name: str, barrier_fd: int | None) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.sockets.append(ours)
        self.stdio.attach(theirs.detach(), Attachment(name, stdout=True, raw=True), barrier_fd)
        return ours

    def says(self, text: bytes) -> None:
        os.write(self.stdout_fd, text)
        self.turn()

    def turn(self) -> None:
        """Run rounds of the loop, which do not wait."""
        for _ in range(3):
            self.loop.call_after("turn", 0.0, lambda: None)
            self.loop.run_once()

    def close(self) -> None:
        for barrier in self.gates:
            os.close(barrier)
        self.turn()
        self.stdio.drain()
        self.stdio.finish("ended")
        self.turn()
        for ours in self.sockets:
            ours.close()
        os.close(self.stdout_fd)
        self.loop.close()


@pytest.fixture
def process() -> Iterator[FakeProcess]:
    process = FakeProcess()
    yield process
    process.close()


def received(client: socket.socket) -> bytes:
    try:
        return client.recv(4096)
    except BlockingIOError:
        return b""


def test_behind_a_barrier_a_client_gets_only_output_that_its_log_lacked(
    process: FakeProcess,
) -> None:
    process.says(b"logged\nbegun ")
    client, barrier = process.at_gate("late")
    process.says(b"and ended\n")

    assert (process.log.written, received(client)) == (b"logged\n", b"")
    os.write(barrier, b"\n")
    process.turn()

    assert received(client) == b"begun and ended\n"
    assert process.log.written == b"logged\nbegun and ended\n"


def test_the_process_waits_until_the_last_barrier_is_open(process: FakeProcess) -> None:
    other = process.client("other")
    (_, first), (_, second) = process.at_gate("one"), process.at_gate("two")
    process.says(b"x\n")
    os.write(first, b"\n")
    process.turn()
    assert received(other) == b""

    os.write(second, b"\n")
    process.turn()

    assert received(other) == b"x\n"


def test_a_barrier_that_is_closed_unopened_ends_only_its_attachment(process: FakeProcess) -> None:
    client, _ = process.at_gate("orphan")
    os.close(process.gates.pop())
    process.says(b"x\n")

    assert process.gone == [("orphan", EOF)]
    assert client.recv(10) == b""
    assert process.log.written == b"x\n"


def test_a_barrier_opens_after_its_time_limit(
    process: FakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_barrier, "BARRIER_PATIENCE_S", 0.0)
    process.at_gate("forgotten")
    process.says(b"x\n")

    assert process.gone == [("forgotten", SLOW)]
    assert process.log.written == b"x\n"


def test_a_client_that_disconnects_opens_its_barrier(process: FakeProcess) -> None:
    client, _ = process.at_gate("impatient")
    client.close()
    process.says(b"x\n")

    assert process.gone == [("impatient", EOF)]
    assert process.log.written == b"x\n"


def test_the_output_of_an_exited_process_is_read_after_the_barrier_opens(
    process: FakeProcess,
) -> None:
    client, barrier = process.at_gate("late")
    os.write(process.stdout_fd, b"last words")
    concluded: list[bool] = []
    process.stdio.when_open(lambda: concluded.append(True))
    process.turn()
    assert not concluded

    os.write(barrier, b"\n")
    process.turn()
    process.turn()

    assert concluded
    assert received(client) == b"last words"


def test_raw_output_has_no_frames_and_other_output_has(process: FakeProcess) -> None:
    raw = process.client("raw")
    ours, theirs = socket.socketpair()
    process.sockets.append(ours)
    process.stdio.attach(theirs.detach(), Attachment("framed", stdout=True))
    process.says(b"x\n")

    assert raw.recv(100) == b"x\n"
    assert ours.recv(100) == frame_header(1, 2) + b"x\n"
