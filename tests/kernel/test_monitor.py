"""What a monitor promises: output, exit code and journal are never lost, and streams behave as
Docker's."""

import ctypes
import json
import os
import re
import signal
from pathlib import Path

import pytest
import trio

from engine.domain.ids import ContainerId
from engine.drivers.processes.identity import monitor_alive, process_alive
from engine.drivers.runs.run_files import BundleLocked, RunHasHappened
from engine.errors import DriverError
from engine.ports.observation import identity_of
from engine.runtime.clients import frame_header
from engine.runtime.facts import (
    AttachEnded,
    ExecProcessExited,
    ExecProcessNotStarted,
    ExecProcessStarted,
    Fact,
    MemoryExhausted,
    MonitorBegan,
    ProcessExited,
    ProcessNotStarted,
    ProcessStarted,
)
from tests.harness.conditions import eventually
from tests.kernel.monitors import (
    EngineRoom,
    descriptors,
    end_process,
    in_room,
    link,
    open_descriptors,
    wait_ended,
)


@in_room
async def test_output_exit_code_and_journal_of_a_short_life(room: EngineRoom) -> None:
    container = room.bundle("sh", "-c", "echo out; echo err >&2; exit 3")

    client = await room.launch_attached(container)

    seen = await client.read()
    assert sorted([seen[:12], seen[12:]]) == [
        frame_header(1, 4) + b"out\n",
        frame_header(2, 4) + b"err\n",
    ]
    exited = await room.record(container, ProcessExited)
    assert (exited.code, exited.signal, exited.oom) == (3, None, False)
    records = room.journal(container)
    assert [type(record) for record in records] == [MonitorBegan, ProcessStarted, ProcessExited]
    assert [record.stamp.number for record in records] == [1, 2, 3]
    assert sorted(room.log(container).splitlines()) == ["err", "out"]


@in_room
async def test_a_signal_is_told_apart_from_an_exit(room: EngineRoom) -> None:
    container = room.bundle("sleep", "1000")
    await room.monitors.launch(container)
    started = await room.record(container, ProcessStarted)

    os.kill(started.pid, signal.SIGKILL)

    exited = await room.record(container, ProcessExited)
    assert (exited.code, exited.signal) == (137, 9)


@in_room
async def test_a_command_that_is_not_there_is_a_failed_start(room: EngineRoom) -> None:
    container = room.bundle("nope")

    client = await room.launch_attached(container)

    failed = await room.record(container, ProcessNotStarted)
    assert failed.message == 'exec: "nope": executable file not found in $PATH'
    assert failed.exit_code == 127
    assert await client.read() == b""
    assert room.journal(container)[-1] == failed


@in_room
async def test_everything_written_before_the_exit_is_logged(room: EngineRoom) -> None:
    container = room.bundle("sh", "-c", "seq 20000; printf 'no newline'")
    await room.monitors.launch(container)

    await room.record(container, ProcessExited)

    assert room.log(container).splitlines() == [*map(str, range(1, 20001)), "no newline"]


@in_room
async def test_a_run_has_one_monitor_however_often_it_is_launched(room: EngineRoom) -> None:
    container = room.bundle("sleep", "1000")
    await room.monitors.launch(container)
    first = await room.record(container, ProcessStarted)

    again = await room.monitors.launch(container)

    assert again is None
    with pytest.raises(BundleLocked):
        await room.launcher.launch(room.bundles / container)
    assert [type(record) for record in room.journal(container)] == [MonitorBegan, ProcessStarted]
    assert process_alive(identity_of(first))


@in_room
async def test_a_run_that_is_over_does_not_happen_again(room: EngineRoom) -> None:
    container = room.bundle("sh", "-c", "echo once")
    await room.monitors.launch(container)
    await room.record(container, ProcessExited)

    again = await room.monitors.launch(container)

    assert again is None
    with pytest.raises(RunHasHappened):
        await room.launcher.launch(room.bundles / container)
    assert room.log(container) == "once\n"


@in_room
async def test_the_next_run_may_follow_the_last_record_at_once(room: EngineRoom) -> None:
    container = room.bundle("sh", "-c", "echo again")
    for run in range(1, 6):
        room.next_run(container, run)
        await room.monitors.launch(container)
        await room.record(container, ProcessExited)

    assert room.log(container) == "again\n" * 5


@in_room
async def test_a_container_dies_with_its_monitor(room: EngineRoom) -> None:
    container = room.bundle("sleep", "1000")
    await room.monitors.launch(container)
    monitor_pid = (await room.record(container, MonitorBegan)).pid
    started = await room.record(container, ProcessStarted)
    assert monitor_alive(room.bundles / container)
    pidfd = os.pidfd_open(started.pid)

    end_process(monitor_pid)

    wait_ended(pidfd)
    os.close(pidfd)
    assert not monitor_alive(room.bundles / container)


@in_room
async def test_a_monitor_keeps_nothing_of_its_ancestors(room: EngineRoom) -> None:
    container = room.bundle("sleep", "1000")
    await room.monitors.launch(container)
    monitor_pid = (await room.record(container, MonitorBegan)).pid
    started = await room.record(container, ProcessStarted)

    exe, cwd = (link(f"/proc/{monitor_pid}/{name}") for name in ("exe", "cwd"))
    inside = {fd: link(f"/proc/{started.pid}/fd/{fd}") for fd in descriptors(started.pid)}

    assert exe.startswith("/memfd:")
    assert os.getsid(monitor_pid) == monitor_pid
    assert cwd == "/"
    assert inside.keys() == {"0", "1", "2"}
    assert inside["0"] == "/dev/null"


@in_room
async def test_a_monitor_ignores_the_signals_of_a_terminal(room: EngineRoom) -> None:
    script = "trap 'echo got it; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    container = room.bundle("sh", "-c", script)
    client = await room.launch_attached(container)
    monitor = await room.record(container, MonitorBegan)
    started = await room.record(container, ProcessStarted)
    await client.read(b"ready")

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        os.kill(monitor.pid, number)
    os.kill(started.pid, signal.SIGTERM)

    assert b"got it" in await client.read()
    assert (await room.record(container, ProcessExited)).code == 5


@in_room
async def test_an_end_of_file_from_the_client_ends_the_standard_input(room: EngineRoom) -> None:
    container = room.bundle("cat", open_stdin=True, stdin_once=True)
    client = await room.launch_attached(container)

    await client.send(b"x" * 200_000)
    client.half_close()

    seen = await client.read()
    payload = b"".join(re.split(rb"\x01\x00\x00\x00....", seen, flags=re.DOTALL))
    assert payload == b"x" * 200_000
    assert (await room.record(container, ProcessExited)).code == 0


@in_room
async def test_a_client_that_leaves_leaves_the_input_of_a_lasting_container_open(
    room: EngineRoom,
) -> None:
    container = room.bundle("cat", open_stdin=True)
    first = await room.launch_attached(container, attach_id="first", stdin=True, stdout=True)
    await first.send(b"one\n")
    await first.read(b"one\n")

    first.close()
    gone = await room.record(container, AttachEnded)
    second = await room.attach(container, attach_id="second", stdin=True, stdout=True)
    await second.send(b"two\n")

    assert (gone.attach_id, gone.reason) == ("first", "eof")
    assert await second.read(b"two\n") == frame_header(1, 4) + b"two\n"


@in_room
async def test_what_was_read_of_a_client_already_comes_first(room: EngineRoom) -> None:
    container = room.bundle("cat", open_stdin=True, stdin_once=True)

    client = await room.launch_attached(container, stdin=True, stdout=True, unread=b"early ")
    await client.send(b"late\n")
    client.half_close()

    seen = await client.read()
    assert re.sub(rb"\x01\x00\x00\x00....", b"", seen) == b"early late\n"


@in_room
async def test_every_client_gets_the_streams_it_asked_for(room: EngineRoom) -> None:
    container = room.bundle("sh", "-c", "read go; echo out; echo err >&2", open_stdin=True)
    await room.monitors.launch(container)
    out = await room.attach(container, stdin=True, stdout=True)
    err = await room.attach(container, stderr=True)

    await out.send(b"\n")

    assert await out.read() == frame_header(1, 4) + b"out\n"
    assert await err.read() == frame_header(2, 4) + b"err\n"


@in_room
async def test_a_client_without_input_may_close_its_side_and_still_listens(
    room: EngineRoom,
) -> None:
    container = room.bundle("sh", "-c", "read go; echo done", open_stdin=True)
    await room.monitors.launch(container)
    listener = await room.attach(container, stdout=True)
    listener.half_close()
    typist = await room.attach(container, stdin=True)

    await typist.send(b"\n")

    assert await listener.read() == frame_header(1, 5) + b"done\n"


@in_room
async def test_a_terminal_echoes_and_has_a_size(room: EngineRoom) -> None:
    container = room.bundle("sh", "-c", "read go; stty size", tty=True, open_stdin=True)
    client = await room.launch_attached(container)
    await room.record(container, ProcessStarted)

    await room.monitors.resize(container, None, height=33, width=111)
    await client.send(b"go\n")

    assert await client.read() == b"go\r\n33 111\r\n"
    assert room.log(container) == "go\r\n33 111\r\n"


@in_room
async def test_detach_keys_let_go_of_a_terminal_even_when_typed_slowly(room: EngineRoom) -> None:
    container = room.bundle("cat", tty=True, open_stdin=True)
    client = await room.launch_attached(container, stdin=True, stdout=True, detach_keys=b"\x10\x11")
    await room.record(container, ProcessStarted)

    await client.send(b"\x10")
    await client.send(b"a\n")  # not the keys after all: Ctrl-P is passed on
    await client.read(b"\x10a\r\n")
    await client.send(b"\x10")
    await client.send(b"\x11")

    await client.read()
    closed = await room.record(container, AttachEnded)
    assert closed.reason == "detached"
    assert not any(isinstance(record, ProcessExited) for record in room.journal(container))


@in_room
async def test_a_container_that_does_not_read_makes_its_client_wait(room: EngineRoom) -> None:
    container = room.bundle("sleep", "1000", open_stdin=True)
    client = await room.launch_attached(container)
    await room.record(container, ProcessStarted)

    sent = 0
    with trio.move_on_after(0.5):
        while True:
            await trio.lowlevel.wait_writable(client.ours)
            sent += client.ours.send(b"x" * 65536)

    assert sent < 2_000_000
    client.close()  # and it is noticed that the client leaves, full as everything is
    execed = await room.exec(container, "true")
    await execed.read()
    assert (await room.record(container, ExecProcessExited)).code == 0


@in_room
async def test_an_exec_has_streams_and_an_exit_code_of_its_own(room: EngineRoom) -> None:
    container = room.bundle("sleep", "1000")
    await room.monitors.launch(container)
    await room.record(container, ProcessStarted)

    client = await room.exec(container, "sh", "-c", "cat; echo $$; exit 4")
    await client.send(b"typed\n")
    client.half_close()

    seen = re.sub(rb"\x01\x00\x00\x00....", b"", await client.read())
    text, pid = seen.splitlines()
    assert text == b"typed"
    assert 1 < int(pid) < 100
    exited = await room.record(container, ExecProcessExited)
    assert (exited.exec_id, exited.code) == (client.exec_id, 4)
    assert room.log(container) == ""


@in_room
async def test_an_exec_that_can_not_start_says_why_as_docker_does(room: EngineRoom) -> None:
    container = room.bundle("sleep", "1000")
    await room.monitors.launch(container)
    await room.record(container, ProcessStarted)

    framed = await room.exec(container, "nope")
    raw = await room.exec(container, "/etc", tty=True)

    text = (
        b'OCI runtime exec failed: exec failed: unable to start container process: exec: "nope": '
        b"executable file not found in $PATH: unknown\r\n"
    )
    assert await framed.read() == frame_header(1, len(text)) + text
    assert (await raw.read()).endswith(b'exec: "/etc": permission denied: unknown\r\n')
    failed = await room.record(container, lambda record: exec_of(record) == framed.exec_id)
    assert (failed.exit_code, failed.message) == (
        127,
        'exec: "nope": executable file not found in $PATH',
    )


@in_room
async def test_the_same_exec_ordered_twice_runs_once(room: EngineRoom) -> None:
    container = room.bundle("sleep", "1000")
    await room.monitors.launch(container)
    await room.record(container, ProcessStarted)

    first = await room.exec(container, "true", exec_id="e1")
    await first.read()
    second = await room.exec(container, "true", exec_id="e1")
    await second.read()

    started = [
        record for record in room.journal(container) if isinstance(record, ExecProcessStarted)
    ]
    assert len(started) == 1


@in_room
async def test_execs_end_before_the_container_they_run_in(room: EngineRoom) -> None:
    container = room.bundle("sleep", "1000")
    await room.monitors.launch(container)
    started = await room.record(container, ProcessStarted)
    client = await room.exec(container, "sleep", "1000")
    await room.record(container, ExecProcessStarted)

    os.kill(started.pid, signal.SIGKILL)

    await room.record(container, ProcessExited)
    assert await client.read() == b""
    kinds = [type(record) for record in room.journal(container)]
    assert kinds[-1] is ProcessExited
    assert kinds.index(ExecProcessExited) < kinds.index(ProcessExited)


@in_room
async def test_an_exec_does_not_wait_for_what_it_left_in_the_background(room: EngineRoom) -> None:
    container = room.bundle("sleep", "1000")
    await room.monitors.launch(container)
    await room.record(container, ProcessStarted)

    client = await room.exec(container, "sh", "-c", "yes & echo last")

    assert b"last\n" in await client.read()
    assert (await room.record(container, ExecProcessExited)).code == 0


@in_room
async def test_a_thousand_execs_leave_a_monitor_as_it_was(room: EngineRoom) -> None:
    container = room.bundle("sleep", "1000")
    await room.monitors.launch(container)
    monitor_pid = (await room.record(container, MonitorBegan)).pid
    await room.record(container, ProcessStarted)

    async def run(count: int) -> tuple[int, int]:
        for number in range(count):
            client = await room.exec(container, "true" if number % 2 else "nope")
            if number % 3:
                await client.read()
            client.close()
        await room.record(container, lambda record: _execs_ended(room, container))
        return open_descriptors(monitor_pid), _private_kib(monitor_pid)

    before = await run(200)
    after = await run(800)

    assert after[0] <= before[0]
    assert after[1] <= before[1] + 300  # KiB: what one more kind of object costs, not 800 of them


@in_room
async def test_a_daemon_that_comes_back_finds_monitors_and_missed_exits(room: EngineRoom) -> None:
    lasting, ending = room.bundle("cat", open_stdin=True), room.bundle("sleep", "1000")
    await room.monitors.launch(lasting)
    await room.monitors.launch(ending)
    await room.record(lasting, ProcessStarted)
    started = await room.record(ending, ProcessStarted)
    for container in (lasting, ending):
        room.monitors.forget(container)  # the daemon is gone
    monitor_pidfd = os.pidfd_open((await room.record(ending, MonitorBegan)).pid)
    os.kill(started.pid, signal.SIGKILL)
    wait_ended(monitor_pidfd)
    os.close(monitor_pidfd)

    found = await room.monitors.find()

    assert found == (lasting,)
    client = await room.attach(lasting)
    await client.send(b"still here\n")
    assert b"still here" in await client.read(b"still here\n")
    assert isinstance(room.journal(ending)[-1], ProcessExited)


@in_room
async def test_an_attached_client_survives_the_daemon(room: EngineRoom) -> None:
    container = room.bundle("cat", open_stdin=True)
    client = await room.launch_attached(container)
    await room.record(container, ProcessStarted)

    room.monitors.forget(container)
    room.launcher.close = lambda: None  # type: ignore[method-assign]  # closed right here instead
    type(room.launcher).close(room.launcher)
    await client.send(b"anyone?\n")

    assert b"anyone?" in await client.read(b"anyone?\n")


@in_room
async def test_no_one_can_attach_to_what_is_over(room: EngineRoom) -> None:
    container = room.bundle("true")
    await room.monitors.launch(container)
    await room.record(container, ProcessExited)

    try:
        await room.attach(container)
    except DriverError as error:
        refused = str(error)

    assert "monitor" in refused or "exited" in refused


@in_room
async def test_a_log_that_can_not_be_opened_is_an_answer(room: EngineRoom) -> None:
    container = room.bundle("true", log_path="/nowhere/log")

    with pytest.raises(DriverError, match="/nowhere/log"):
        await room.monitors.launch(container)

    assert not monitor_alive(room.bundles / container)


@in_room
async def test_an_oom_kill_is_read_from_the_counters(room: EngineRoom) -> None:
    counters = room.place / "memory.oom_control"
    counters.write_text("under_oom 0\noom_kill 7\n")
    container = room.bundle(
        "sh",
        "-c",
        "read go",
        open_stdin=True,
        stdin_once=True,
        oom_counters=[[str(counters), "oom_kill"]],
    )
    client = await room.launch_attached(container)
    await room.record(container, ProcessStarted)

    counters.write_text("under_oom 0\noom_kill 9\n")
    client.half_close()

    exited = await room.record(container, ProcessExited)
    assert exited.oom
    assert next(r.kills for r in room.journal(container) if isinstance(r, MemoryExhausted)) == 2


@in_room
async def test_records_of_the_log_are_json_with_time_and_stream(room: EngineRoom) -> None:
    container = room.bundle("printf", 'a "quoted" \\\\ line\n')
    await room.monitors.launch(container)
    await room.record(container, ProcessExited)

    (record,) = map(json.loads, room.log_path(container).read_text().splitlines())

    assert record.keys() == {"log", "stream", "time"}
    assert record["log"] == 'a "quoted" \\ line\n'
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", record["time"])


def _execs_ended(room: EngineRoom, container: ContainerId) -> bool:
    """Whether every exec that was ordered has an outcome in the journal."""
    ended = [
        r
        for r in room.journal(container)
        if isinstance(r, (ExecProcessExited, ExecProcessNotStarted))
    ]
    return len(ended) == len(room.exec_ids)


def exec_of(record: Fact) -> str | None:
    return getattr(record, "exec_id", None)


def _private_kib(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"Private_\w+: +(\d+) kB", rollup))


@in_room
async def test_a_journal_is_shortened_when_the_daemon_says_so(room: EngineRoom) -> None:
    container = room.bundle("sh", "-c", "read x; exit 5", open_stdin=True)
    client = await room.launch_attached(container)
    await room.record(container, ProcessStarted)
    for _ in range(10):
        await (await room.exec(container, "true")).read()
    await room.record(container, lambda record: record.stamp.number == 32)

    room.monitors.forget_facts(container, 30)

    eventually(
        lambda: [each.stamp.number for each in room.journal(container)] == [1, 2, 31, 32],
        "it is short",
    )
    assert [type(each) for each in room.journal(container)[:2]] == [MonitorBegan, ProcessStarted]
    await client.send(b"\n")
    exited = await room.record(container, ProcessExited)
    assert (exited.code, exited.stamp.number) == (5, room.journal(container)[-1].stamp.number)


PIDFD_GETFD = 438
"""asm-generic/unistd.h; pidfd_getfd(2)."""


def copy_of_lock(pid: int) -> int:
    """A descriptor of the open file by which a monitor holds its lock: with it the lock outlives
    the monitor."""
    (number,) = [fd for fd in descriptors(pid) if link(f"/proc/{pid}/fd/{fd}").endswith("/lock")]
    pidfd = os.pidfd_open(pid)
    copy: int = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, int(number), 0)
    os.close(pidfd)
    assert copy >= 0, os.strerror(ctypes.get_errno())
    return copy


@in_room
async def test_the_end_of_a_killed_monitor_is_heard_of_when_its_lock_is_free(
    room: EngineRoom,
) -> None:
    """The kernel closes its connection some milliseconds before its lock: a hint from in between
    must not be the last."""
    container = room.bundle("sleep", "100")
    pid = await room.monitors.launch(container)
    assert pid is not None
    await room.record(container, ProcessStarted)
    lock_fd = copy_of_lock(pid)
    end_process(pid)
    with trio.move_on_after(0.2):
        await room.next_hint(container)  # what may come too early
    assert monitor_alive(room.bundles / container)

    os.close(lock_fd)

    with trio.fail_after(1.0):
        await room.next_hint(container)
    assert not monitor_alive(room.bundles / container)
