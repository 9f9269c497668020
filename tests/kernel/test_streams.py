"""Test back-pressure and time limits, with pipes and sockets in place of a container."""

import os
import socket
from collections.abc import Iterator

import pytest

from engine.runtime import clients
from engine.runtime.clients import CLIENT_BUFFER_BYTES_MAX, frame_header
from engine.runtime.loop import Loop
from engine.runtime.messages import Attachment
from engine.runtime.streams import Stdio


class FakeProcess:
    """A process's pipes that the test controls, and a client of it."""

    def __init__(self, *, closes_input: bool = False) -> None:
        self.loop = Loop()
        self.gone: list[tuple[str, str]] = []
        self.stdio = Stdio(
            self.loop, tty=False, closes_input=closes_input, sink=None, detached=self.detached
        )
        self.stdin_fd, stdin_end = os.pipe()
        stdout_end, self.stdout_fd = os.pipe()
        os.set_blocking(self.stdin_fd, False)
        os.set_blocking(self.stdout_fd, False)
        self.stdio.open_pipes(stdin_end, stdout_end, None)
        self.sockets: list[socket.socket] = []

    def detached(self, attachment: Attachment, reason: str) -> None:
        self.gone.append((attachment.attach_id, reason))

    def client(self, name: str, **options: bool) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.sockets.append(ours)
        self.stdio.attach(theirs.detach(), Attachment(name, **options))  # type: ignore[arg-type]
        return ours

    def write_until_full(self) -> int:
        """Play a process that writes as long as its output is read."""
        written = 0
        for _ in range(200):
            try:
                written += os.write(self.stdout_fd, b"x" * 65536)
            except BlockingIOError:
                break
            self.turn()
        return written

    def turn(self) -> None:
        """Run one round of the loop, which does not wait."""
        self.loop.call_after("turn", 0.0, lambda: None)
        self.loop.run_once()

    def close(self) -> None:
        for ours in self.sockets:
            ours.close()
        self.stdio.drain()
        self.stdio.finish("ended")
        for _ in range(5):
            self.turn()
        os.close(self.stdin_fd)
        os.close(self.stdout_fd)
        self.loop.close()


@pytest.fixture
def process() -> Iterator[FakeProcess]:
    process = FakeProcess()
    yield process
    process.close()


def test_a_client_that_does_not_read_makes_the_process_wait(process: FakeProcess) -> None:
    process.client("slow", stdout=True)

    written = process.write_until_full()

    assert CLIENT_BUFFER_BYTES_MAX <= written < 2 * CLIENT_BUFFER_BYTES_MAX
    assert process.gone == []


def test_a_client_that_reads_again_gets_everything(process: FakeProcess) -> None:
    slow = process.client("slow", stdout=True)
    written = process.write_until_full()

    received = 0
    for _ in range(500):
        process.turn()
        try:
            received += len(slow.recv(1 << 20).replace(frame_header(1, 65536), b""))
        except BlockingIOError:
            continue

    assert received >= written
    assert process.gone == []


def test_a_client_that_reads_nothing_is_disconnected_for_the_others(
    process: FakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "CLIENT_PATIENCE_S", 0.02)
    process.client("slow", stdout=True)
    process.write_until_full()

    while not process.gone:
        process.loop.run_once()

    assert process.gone == [("slow", "slow")]
    process.turn()
    assert process.write_until_full() > CLIENT_BUFFER_BYTES_MAX


def test_a_client_that_is_merely_behind_is_given_its_time(
    process: FakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "CLIENT_PATIENCE_S", 0.001)
    process.client("behind", stdout=True)
    for _ in range(8):
        os.write(process.stdout_fd, b"x" * 65536)
        process.turn()

    for _ in range(20):
        process.loop.run_once()

    assert process.gone == []


def test_input_that_nobody_reads_makes_its_client_wait(process: FakeProcess) -> None:
    typist = process.client("typist", stdin=True)

    sent = 0
    for _ in range(200):
        process.turn()
        try:
            sent += typist.send(b"x" * 65536)
        except BlockingIOError:
            break

    assert sent < 1 << 20
    taken = 0
    for _ in range(500):
        process.turn()
        try:
            taken += len(os.read(process.stdin_fd, 65536))
        except BlockingIOError:
            continue
    assert taken == sent


def test_the_last_input_of_a_disconnected_client_is_still_passed_on(process: FakeProcess) -> None:
    typist = process.client("typist", stdin=True)
    for _ in range(20):
        process.turn()
        try:
            typist.send(b"x" * 65536)
        except BlockingIOError:
            break
    typist.close()

    taken = b""
    for _ in range(500):
        process.turn()
        try:
            taken += os.read(process.stdin_fd, 65536)
        except BlockingIOError:
            continue

    assert len(taken) > 65536
    assert process.gone == [("typist", "eof")]


def test_a_client_that_has_left_is_noticed_without_any_output(process: FakeProcess) -> None:
    listener = process.client("listener", stdout=True)

    listener.close()
    process.turn()
    process.turn()

    assert process.gone == [("listener", "eof")]


def test_drain_reads_what_an_exited_process_has_written(process: FakeProcess) -> None:
    listener = process.client("listener", stdout=True)
    os.write(process.stdout_fd, b"last words")

    process.stdio.drain()

    assert listener.recv(100) == frame_header(1, 10) + b"last words"
