"""Test the launcher: its forks, its deaths, its interpreter."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from engine.drivers.processes.identity import monitor_alive
from engine.runtime.facts import MonitorBegan, ProcessExited, ProcessStarted
from tests.kernel.monitors import (
    RuntimeUnderTest,
    descriptors,
    end_process,
    link,
    runtime_under_test,
    wait_ended,
    with_runtime,
)


@with_runtime
async def test_a_launcher_that_is_killed_is_replaced_and_no_container_notices(
    runtime: RuntimeUnderTest,
) -> None:
    container = runtime.bundle("cat", open_stdin=True)
    client = await runtime.launch_attached(container)
    await runtime.record(container, ProcessStarted)
    first = runtime.launcher.pid
    assert first is not None

    os.kill(first, signal.SIGKILL)
    other = runtime.bundle("true")
    await runtime.launch(other)

    assert (await runtime.record(other, ProcessExited)).code == 0
    assert runtime.launcher.pid != first
    await client.send(b"alive\n")
    assert b"alive" in await client.read(b"alive\n")


@with_runtime
async def test_a_launcher_that_dies_is_replaced_before_anyone_asks(
    runtime: RuntimeUnderTest,
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runtime.launcher.keep_alive)
        with trio.fail_after(5):
            first = await _pid_other_than(runtime, None)
            os.kill(first, signal.SIGKILL)
            second = await _pid_other_than(runtime, first)
        nursery.cancel_scope.cancel()

    assert second != first


@with_runtime
async def test_a_launcher_ends_with_its_daemon_and_its_monitors_do_not(
    runtime: RuntimeUnderTest,
) -> None:
    container = await runtime.run("sleep", "1000")
    assert runtime.launcher.pid is not None
    pidfd = os.pidfd_open(runtime.launcher.pid)

    assert runtime.launcher._socket is not None
    runtime.launcher._socket.close()

    wait_ended(pidfd)
    os.close(pidfd)
    assert monitor_alive(runtime.bundles / container)


@with_runtime
async def test_one_launcher_at_a_time_holds_the_lock(runtime: RuntimeUnderTest) -> None:
    await runtime.launcher.start()

    with (runtime.place / "launcher.lock").open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@with_runtime
async def test_monitors_do_not_keep_the_lock_of_their_launcher(runtime: RuntimeUnderTest) -> None:
    await runtime.run("sleep", "1000")

    end_process(runtime.launcher.pid or 0)

    with (runtime.place / "launcher.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@with_runtime
async def test_a_hundred_short_containers_leave_the_launcher_as_it_was(
    runtime: RuntimeUnderTest,
) -> None:
    async def live() -> None:
        container = runtime.bundle("true")
        await runtime.launch(container)
        monitor = await runtime.record(container, MonitorBegan)
        await runtime.record(container, ProcessExited)
        end_process(monitor.pid)

    await live()
    pid = runtime.launcher.pid
    assert pid is not None
    before = len(descriptors(pid))
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(live)
    await live()

    assert len(descriptors(pid)) <= before + 1  # the last one may not be reaped yet
    assert len(_children(pid)) <= 1


@with_runtime
async def test_the_interpreter_can_not_be_written_to_by_anyone(runtime: RuntimeUnderTest) -> None:
    await runtime.launcher.start()

    exe = Path(f"/proc/{runtime.launcher.pid}/exe")

    assert link(str(exe)).startswith("/memfd:")
    fd = os.open(f"/proc/{os.getpid()}/fd/{runtime.launcher._interpreter_fd}", os.O_RDONLY)
    assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
    os.close(fd)
    with pytest.raises(OSError):
        os.pwrite(runtime.launcher._interpreter_fd, b"#!", 0)


@pytest.mark.parametrize("executable", ["/usr/bin/python3", sys.executable])
def test_a_sealed_copy_finds_its_library_and_prefix(
    executable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's interpreter is one file; pyenv's and many others' need a shared libpython."""
    if shutil.which(executable) is None:
        pytest.skip(f"{executable} is not installed")
    monkeypatch.setattr("sys.executable", executable)

    async def live() -> int:
        async with runtime_under_test(tmp_path) as runtime:
            container = runtime.bundle("sh", "-c", "exit 5")
            await runtime.launch(container)
            exited: ProcessExited = await runtime.record(container, ProcessExited)
            return exited.code

    assert trio.run(live) == 5


def _children(pid: int) -> list[str]:
    return subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()


async def _pid_other_than(runtime: RuntimeUnderTest, other: int | None) -> int:
    while (pid := runtime.launcher.pid) is None or pid == other:  # noqa: ASYNC110  (there is no event for it)
        await trio.sleep(0.005)
    return pid
