"""Execs have streams and an exit code of their own, and leave nothing in their monitor."""

import os
import re
import signal
from pathlib import Path

from engine.domain.ids import ContainerId
from engine.runtime.clients import frame_header
from engine.runtime.facts import (
    ExecProcessExited,
    ExecProcessNotStarted,
    ExecProcessStarted,
    Fact,
    MonitorBegan,
    ProcessExited,
    ProcessStarted,
)
from tests.kernel.monitors import (
    RuntimeUnderTest,
    open_descriptors,
    with_runtime,
)


@with_runtime
async def test_an_exec_has_streams_and_an_exit_code_of_its_own(runtime: RuntimeUnderTest) -> None:
    container = await runtime.run("sleep", "1000")

    client = await runtime.exec(container, "sh", "-c", "cat; echo $$; exit 4")
    await client.send(b"typed\n")
    client.half_close()

    seen = re.sub(rb"\x01\x00\x00\x00....", b"", await client.read())
    text, pid = seen.splitlines()
    assert text == b"typed"
    assert 1 < int(pid) < 100
    exited = await runtime.record(container, ExecProcessExited)
    assert (exited.exec_id, exited.code) == (client.exec_id, 4)
    assert runtime.log(container) == ""


@with_runtime
async def test_an_exec_that_can_not_start_says_why_as_docker_does(
    runtime: RuntimeUnderTest,
) -> None:
    container = await runtime.run("sleep", "1000")

    framed = await runtime.exec(container, "nope")
    raw = await runtime.exec(container, "/etc", tty=True)

    text = (
        b'OCI runtime exec failed: exec failed: unable to start container process: exec: "nope": '
        b"executable file not found in $PATH: unknown\r\n"
    )
    assert await framed.read() == frame_header(1, len(text)) + text
    assert (await raw.read()).endswith(b'exec: "/etc": permission denied: unknown\r\n')
    failed = await runtime.record(container, lambda record: exec_of(record) == framed.exec_id)
    assert (failed.exit_code, failed.message) == (
        127,
        'exec: "nope": executable file not found in $PATH',
    )


@with_runtime
async def test_the_same_exec_ordered_twice_runs_once(runtime: RuntimeUnderTest) -> None:
    container = await runtime.run("sleep", "1000")

    first = await runtime.exec(container, "true", exec_id="e1")
    await first.read()
    second = await runtime.exec(container, "true", exec_id="e1")
    await second.read()

    started = [
        record for record in runtime.journal(container) if isinstance(record, ExecProcessStarted)
    ]
    assert len(started) == 1


@with_runtime
async def test_execs_end_before_the_container_they_run_in(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("sleep", "1000")
    await runtime.launch(container)
    started = await runtime.record(container, ProcessStarted)
    client = await runtime.exec(container, "sleep", "1000")
    await runtime.record(container, ExecProcessStarted)

    os.kill(started.pid, signal.SIGKILL)

    await runtime.record(container, ProcessExited)
    assert await client.read() == b""
    kinds = [type(record) for record in runtime.journal(container)]
    assert kinds[-1] is ProcessExited
    assert kinds.index(ExecProcessExited) < kinds.index(ProcessExited)


@with_runtime
async def test_an_exec_does_not_wait_for_what_it_left_in_the_background(
    runtime: RuntimeUnderTest,
) -> None:
    container = await runtime.run("sleep", "1000")

    client = await runtime.exec(container, "sh", "-c", "yes & echo last")

    assert b"last\n" in await client.read()
    assert (await runtime.record(container, ExecProcessExited)).code == 0


@with_runtime
async def test_a_thousand_execs_leave_a_monitor_as_it_was(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("sleep", "1000")
    await runtime.launch(container)
    monitor_pid = (await runtime.record(container, MonitorBegan)).pid
    await runtime.record(container, ProcessStarted)

    async def run(count: int) -> tuple[int, int]:
        for number in range(count):
            client = await runtime.exec(container, "true" if number % 2 else "nope")
            if number % 3:
                await client.read()
            client.close()
        await runtime.record(container, lambda record: _execs_ended(runtime, container))
        return open_descriptors(monitor_pid), _private_kib(monitor_pid)

    before = await run(200)
    after = await run(800)

    assert after[0] <= before[0]
    assert after[1] <= before[1] + 300  # KiB: what one more kind of object costs, not 800 of them


def _execs_ended(runtime: RuntimeUnderTest, container: ContainerId) -> bool:
    """True if every exec that was ordered has an outcome in the journal."""
    ended = [
        r
        for r in runtime.journal(container)
        if isinstance(r, (ExecProcessExited, ExecProcessNotStarted))
    ]
    return len(ended) == len(runtime.exec_ids)


def exec_of(record: Fact) -> str | None:
    return getattr(record, "exec_id", None)


def _private_kib(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"Private_\w+: +(\d+) kB", rollup))
