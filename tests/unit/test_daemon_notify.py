"""Test systemd's protocol, sd_notify(3)."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from engine.daemon.notify import NOTIFY_TIMEOUT_S, notify, watchdog


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Return a service manager's end of the protocol."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def test_readiness_is_sent_to_the_socket_that_the_manager_names(manager: socket.socket) -> None:
    trio.run(notify, "READY=1")

    assert manager.recv(100) == b"READY=1"


def test_without_a_manager_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    trio.run(notify, "READY=1")


def test_a_missing_service_manager_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")

    trio.run(notify, "READY=1")


def test_the_watchdog_is_fed_twice_in_its_time(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))

    async def thirty_seconds() -> None:
        with trio.move_on_after(29):
            await watchdog()

    trio.run(thirty_seconds, clock=trio.testing.MockClock(autojump_threshold=0))

    assert [manager.recv(100) for _ in range(6)] == [b"WATCHDOG=1"] * 6


def test_a_service_manager_that_does_not_read_delays_nothing(
    manager: socket.socket,
) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as other,
        suppress(BlockingIOError),
    ):
        while True:
            other.sendto(b"filling", manager.getsockname())

    async def seconds_it_takes() -> float:
        began = trio.current_time()
        await notify("READY=1")
        return trio.current_time() - began

    took_s = trio.run(seconds_it_takes, clock=trio.testing.MockClock(autojump_threshold=0))

    assert took_s == NOTIFY_TIMEOUT_S


def test_a_malformed_watchdog_time_is_ignored(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "soon")

    trio.run(watchdog)

    with pytest.raises(BlockingIOError):
        manager.recv(100)


def test_a_watchdog_for_another_process_is_ignored(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "10000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")

    trio.run(watchdog)

    with pytest.raises(BlockingIOError):
        manager.recv(100)
