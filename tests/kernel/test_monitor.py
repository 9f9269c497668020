"""Test what a monitor guarantees: output, exit code and journal are never lost, and streams behave
as Docker's.
"""

import ctypes
import json
import os
import re
import signal

import pytest
import trio

from engine.drivers.processes.identity import monitor_alive, process_alive
from engine.drivers.runs.run_files import BundleLocked, RunHasHappened
from engine.errors import DriverError
from engine.ports.observation import identity_of
from engine.runtime.clients import frame_header
from engine.runtime.facts import (
    MemoryExhausted,
    MonitorBegan,
    ProcessExited,
    ProcessNotStarted,
    ProcessStarted,
)
from tests.harness.conditions import eventually
from tests.kernel.monitors import (
    RuntimeUnderTest,
    descriptors,
    end_process,
    link,
    wait_ended,
    with_runtime,
)


@with_runtime
async def test_output_exit_code_and_journal_of_a_short_run(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("sh", "-c", "echo out; echo err >&2; exit 3")

    client = await runtime.launch_attached(container)

    seen = await client.read()
    assert sorted([seen[:12], seen[12:]]) == [
        frame_header(1, 4) + b"out\n",
        frame_header(2, 4) + b"err\n",
    ]
    exited = await runtime.record(container, ProcessExited)
    assert (exited.code, exited.signal, exited.oom) == (3, None, False)
    records = runtime.journal(container)
    assert [type(record) for record in records] == [MonitorBegan, ProcessStarted, ProcessExited]
    assert [record.stamp.number for record in records] == [1, 2, 3]
    assert sorted(runtime.log(container).splitlines()) == ["err", "out"]


@with_runtime
async def test_a_signal_is_distinguished_from_an_exit(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("sleep", "1000")
    await runtime.launch(container)
    started = await runtime.record(container, ProcessStarted)

    os.kill(started.pid, signal.SIGKILL)

    exited = await runtime.record(container, ProcessExited)
    assert (exited.code, exited.signal) == (137, 9)


@with_runtime
async def test_a_command_that_is_not_there_is_a_failed_start(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("nope")

    client = await runtime.launch_attached(container)

    failed = await runtime.record(container, ProcessNotStarted)
    assert failed.message == 'exec: "nope": executable file not found in $PATH'
    assert failed.exit_code == 127
    assert await client.read() == b""
    assert runtime.journal(container)[-1] == failed


@with_runtime
async def test_everything_written_before_the_exit_is_logged(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("sh", "-c", "seq 20000; printf 'no newline'")
    await runtime.launch(container)

    await runtime.record(container, ProcessExited)

    assert runtime.log(container).splitlines() == [*map(str, range(1, 20001)), "no newline"]


@with_runtime
async def test_a_run_has_one_monitor_however_often_it_is_launched(
    runtime: RuntimeUnderTest,
) -> None:
    container = runtime.bundle("sleep", "1000")
    await runtime.launch(container)
    first = await runtime.record(container, ProcessStarted)

    again = await runtime.launch(container)

    assert again is None
    with pytest.raises(BundleLocked):
        await runtime.launcher.launch(container, runtime.opens_run(container))
    assert [type(record) for record in runtime.journal(container)] == [MonitorBegan, ProcessStarted]
    assert process_alive(identity_of(first))


@with_runtime
async def test_a_run_that_is_over_does_not_happen_again(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("sh", "-c", "echo once")
    await runtime.launch(container)
    await runtime.record(container, ProcessExited)

    again = await runtime.launch(container)

    assert again is None
    with pytest.raises(RunHasHappened):
        await runtime.launcher.launch(container, runtime.opens_run(container))
    assert runtime.log(container) == "once\n"


@with_runtime
async def test_the_next_run_may_follow_the_last_record_at_once(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("sh", "-c", "echo again")
    for run in range(1, 6):
        runtime.next_run(container, run)
        await runtime.launch(container)
        await runtime.record(container, ProcessExited)

    assert runtime.log(container) == "again\n" * 5


@with_runtime
async def test_a_container_dies_with_its_monitor(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("sleep", "1000")
    await runtime.launch(container)
    monitor_pid = (await runtime.record(container, MonitorBegan)).pid
    started = await runtime.record(container, ProcessStarted)
    assert monitor_alive(runtime.bundles / container)
    pidfd = os.pidfd_open(started.pid)

    end_process(monitor_pid)

    wait_ended(pidfd)
    os.close(pidfd)
    assert not monitor_alive(runtime.bundles / container)


@with_runtime
async def test_a_monitor_keeps_nothing_of_its_ancestors(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("sleep", "1000")
    await runtime.launch(container)
    monitor_pid = (await runtime.record(container, MonitorBegan)).pid
    started = await runtime.record(container, ProcessStarted)

    exe, cwd = (link(f"/proc/{monitor_pid}/{name}") for name in ("exe", "cwd"))
    inside = {fd: link(f"/proc/{started.pid}/fd/{fd}") for fd in descriptors(started.pid)}

    assert exe.startswith("/memfd:")
    assert os.getsid(monitor_pid) == monitor_pid
    assert cwd == "/"
    assert inside.keys() == {"0", "1", "2"}
    assert inside["0"] == "/dev/null"


@with_runtime
async def test_a_monitor_ignores_the_signals_of_a_terminal(runtime: RuntimeUnderTest) -> None:
    script = "trap 'echo got it; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    container = runtime.bundle("sh", "-c", script)
    client = await runtime.launch_attached(container)
    monitor = await runtime.record(container, MonitorBegan)
    started = await runtime.record(container, ProcessStarted)
    await client.read(b"ready")

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        os.kill(monitor.pid, number)
    os.kill(started.pid, signal.SIGTERM)

    assert b"got it" in await client.read()
    assert (await runtime.record(container, ProcessExited)).code == 5


@with_runtime
async def test_a_daemon_that_comes_back_finds_monitors_and_missed_exits(
    runtime: RuntimeUnderTest,
) -> None:
    lasting, ending = runtime.bundle("cat", open_stdin=True), runtime.bundle("sleep", "1000")
    await runtime.launch(lasting)
    await runtime.launch(ending)
    await runtime.record(lasting, ProcessStarted)
    started = await runtime.record(ending, ProcessStarted)
    for container in (lasting, ending):
        runtime.monitors.forget(container)  # the daemon is gone
    monitor_pidfd = os.pidfd_open((await runtime.record(ending, MonitorBegan)).pid)
    os.kill(started.pid, signal.SIGKILL)
    wait_ended(monitor_pidfd)
    os.close(monitor_pidfd)

    found = await runtime.monitors.find()

    assert found == (lasting,)
    client = await runtime.attach(lasting)
    await client.send(b"still here\n")
    assert b"still here" in await client.read(b"still here\n")
    assert isinstance(runtime.journal(ending)[-1], ProcessExited)


@with_runtime
async def test_a_log_that_can_not_be_opened_is_an_answer(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("true", log={"path": "/nowhere/log"})

    with pytest.raises(DriverError, match="/nowhere/log"):
        await runtime.launch(container)

    assert not monitor_alive(runtime.bundles / container)


@with_runtime
async def test_a_bundle_is_for_the_container_s_first_process_alone(
    runtime: RuntimeUnderTest,
) -> None:
    """Neither the daemon nor the monitor reads it."""
    container = runtime.bundle("true")
    for name in ("config.json", "monitor.json"):
        (runtime.bundles / container / name).write_text("not JSON")

    await runtime.launch(container)

    failed: ProcessNotStarted = await runtime.record(container, ProcessNotStarted)
    assert (failed.step, failed.exit_code) == ("begin", 125)


@with_runtime
async def test_an_oom_kill_is_read_from_the_counters(runtime: RuntimeUnderTest) -> None:
    counters = runtime.place / "memory.oom_control"
    counters.write_text("under_oom 0\noom_kill 7\n")
    container = runtime.bundle(
        "sh",
        "-c",
        "read go",
        open_stdin=True,
        stdin_once=True,
        oom_counters=[[str(counters), "oom_kill"]],
    )
    client = await runtime.launch_attached(container)
    await runtime.record(container, ProcessStarted)

    counters.write_text("under_oom 0\noom_kill 9\n")
    client.half_close()

    exited = await runtime.record(container, ProcessExited)
    assert exited.oom
    assert next(r.kills for r in runtime.journal(container) if isinstance(r, MemoryExhausted)) == 2


@with_runtime
async def test_records_of_the_log_are_json_with_time_and_stream(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("printf", 'a "quoted" \\\\ line\n')
    await runtime.launch(container)
    await runtime.record(container, ProcessExited)

    (record,) = map(json.loads, runtime.log_path(container).read_text().splitlines())

    assert record.keys() == {"log", "stream", "time"}
    assert record["log"] == 'a "quoted" \\ line\n'
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", record["time"])


@with_runtime
async def test_a_journal_is_shortened_on_the_daemons_order(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("sh", "-c", "read x; exit 5", open_stdin=True)
    client = await runtime.launch_attached(container)
    await runtime.record(container, ProcessStarted)
    for _ in range(10):
        await (await runtime.exec(container, "true")).read()
    await runtime.record(container, lambda record: record.stamp.number == 32)

    runtime.monitors.forget_facts(container, 30)

    eventually(
        lambda: [each.stamp.number for each in runtime.journal(container)] == [1, 2, 31, 32],
        "it is short",
    )
    assert [type(each) for each in runtime.journal(container)[:2]] == [MonitorBegan, ProcessStarted]
    await client.send(b"\n")
    exited = await runtime.record(container, ProcessExited)
    assert (exited.code, exited.stamp.number) == (5, runtime.journal(container)[-1].stamp.number)


PIDFD_GETFD = 438
"""asm-generic/unistd.h; pidfd_getfd(2)."""


def copy_of_lock(pid: int) -> int:
    """Return a copy of the descriptor by which a monitor holds its lock: with it the lock outlives
    the monitor.
    """
    (number,) = [fd for fd in descriptors(pid) if link(f"/proc/{pid}/fd/{fd}").endswith("/lock")]
    pidfd = os.pidfd_open(pid)
    copy: int = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, int(number), 0)
    os.close(pidfd)
    assert copy >= 0, os.strerror(ctypes.get_errno())
    return copy


@with_runtime
async def test_the_end_of_a_killed_monitor_is_reported_when_its_lock_is_free(
    runtime: RuntimeUnderTest,
) -> None:
    """The kernel closes its connection some milliseconds before its lock: a hint from in between
    must not be the last.
    """
    container = runtime.bundle("sleep", "100")
    pid = await runtime.launch(container)
    assert pid is not None
    await runtime.record(container, ProcessStarted)
    lock_fd = copy_of_lock(pid)
    end_process(pid)
    with trio.move_on_after(0.2):
        await runtime.next_hint(container)  # this one may come too early
    assert monitor_alive(runtime.bundles / container)

    os.close(lock_fd)

    with trio.fail_after(1.0):
        await runtime.next_hint(container)
    assert not monitor_alive(runtime.bundles / container)
