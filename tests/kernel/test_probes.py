"""Test probes on real monitors: what they report, that nothing is recorded, and how each of them
ends.
"""

import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest
import trio

from engine.domain.ids import ContainerId
from engine.errors import DriverError
from engine.runtime import messages
from engine.runtime.facts import MonitorBegan, ProcessExited, ProcessStarted
from engine.runtime.messages import ProbeOrder
from tests.harness.conditions import eventually, wait_until_gone
from tests.kernel.monitors import (
    PATIENCE_S,
    RuntimeUnderTest,
    children,
    open_descriptors,
    process,
    with_runtime,
)


class Asked:
    """The daemon's end of one probe."""

    def __init__(self, ours: socket.socket) -> None:
        self.ours = ours

    async def answer(self) -> Any:
        """Return the monitor's answer; None if it closes without one."""
        with trio.fail_after(PATIENCE_S):
            await trio.lowlevel.wait_readable(self.ours)
        packet = self.ours.recv(1 << 16)
        return msgspec.json.decode(packet) if packet else None


@contextmanager
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


@asynccontextmanager
async def asking(
    runtime: RuntimeUnderTest, container: ContainerId, *args: str
) -> AsyncIterator[Asked]:
    """Send a probe, and close the daemon's end at the end of the block."""
    with _pair() as (ours, theirs):
        await runtime.monitors.start_probe(container, ProbeOrder(process(*args)), theirs)
        theirs.close()
        yield Asked(ours)


async def probed(runtime: RuntimeUnderTest, container: ContainerId, *args: str) -> Any:
    """Return the answer to a probe."""
    async with asking(runtime, container, *args) as asked:
        return await asked.answer()


async def running(runtime: RuntimeUnderTest, *args: str) -> tuple[ContainerId, int]:
    """Run a container with its monitor."""
    container = await runtime.run(*(args or ("sleep", "1000")))
    return container, (await runtime.record(container, MonitorBegan)).pid


def session_of(leader: int) -> list[int]:
    """Return the processes of a session."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(place.name))
    return found


async def probe_pid(monitor: int) -> int:
    """Return the process that a monitor has beside the container's first."""
    with trio.fail_after(PATIENCE_S):
        while len(found := children(monitor)) < 2:  # noqa: ASYNC110  (there is no event for it)
            await trio.sleep(0.002)
    return found[1]


@with_runtime
async def test_code_and_output_are_reported_and_nothing_is_recorded(
    runtime: RuntimeUnderTest,
) -> None:
    container, _ = await running(runtime)
    before = runtime.journal(container)

    answer = await probed(runtime, container, "sh", "-c", "echo out; echo err >&2; exit 3")

    assert answer == {"code": 3, "output": b"out\nerr\n".hex(), "truncated": False}
    assert runtime.journal(container) == before
    assert runtime.log(container) == ""


@with_runtime
async def test_of_much_output_the_beginning_is_reported(runtime: RuntimeUnderTest) -> None:
    container, _ = await running(runtime)

    answer = await probed(runtime, container, "sh", "-c", "yes | head -c 1000000")

    assert answer == {"code": 0, "output": (b"y\n" * 2048).hex(), "truncated": True}


@with_runtime
async def test_a_missing_command_is_reported(runtime: RuntimeUnderTest) -> None:
    container, _ = await running(runtime)

    answer = await probed(runtime, container, "nope")

    assert answer == {"error": 'exec: "nope": executable file not found in $PATH'}


@pytest.mark.parametrize("way", ["closed", "shut down"])
def test_a_probe_is_killed_with_its_children_when_its_client_is_gone(
    way: str, tmp_path: Path
) -> None:
    @with_runtime
    async def scenario(runtime: RuntimeUnderTest) -> None:
        container, monitor = await running(runtime)
        script = "echo so far; sleep 1000 & sleep 1000; :"
        async with asking(runtime, container, "sh", "-c", script) as asked:
            pid = await probe_pid(monitor)
            eventually(lambda: len(session_of(pid)) == 3, "the shell has started both")
            if way == "shut down":
                asked.ours.shutdown(socket.SHUT_WR)
                last_words = {"code": 137, "output": b"so far\n".hex(), "truncated": False}
                assert await asked.answer() == last_words

        eventually(lambda: session_of(pid) == [], "all are gone")
        wait_until_gone(pid)
        assert (await probed(runtime, container, "true"))["code"] == 0

    scenario(tmp_path)


@with_runtime
async def test_a_daemon_that_dies_in_the_middle_of_a_probe_leaves_nothing(
    runtime: RuntimeUnderTest,
) -> None:
    container, monitor = await running(runtime)
    before = open_descriptors(monitor)
    dying = os.fork()
    if dying == 0:
        _ask_and_wait_for_death(runtime.bundles / container)
    pid = await probe_pid(monitor)

    os.kill(dying, signal.SIGKILL)
    os.waitpid(dying, 0)  # noqa: ASYNC222  (killed already)

    wait_until_gone(pid)
    eventually(lambda: open_descriptors(monitor) == before, "its descriptors are closed")


def _ask_and_wait_for_death(bundle: Path) -> NoReturn:
    """Act as another daemon, from the monitor's view."""
    try:
        os.chdir(bundle)
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.connect(messages.SOCKET_NAME)
        _, theirs = pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        order = messages.encode(ProbeOrder(process("sleep", "1000")).to_message())
        control.sendmsg([order], messages.rights([theirs.fileno()]))
        theirs.close()
        while pair:
            signal.pause()
    finally:
        os._exit(1)


@with_runtime
async def test_there_is_one_probe_at_a_time(runtime: RuntimeUnderTest) -> None:
    container, _ = await running(runtime)
    async with asking(runtime, container, "sleep", "1000"):
        with pytest.raises(DriverError, match="the last probe has not ended"):
            await probed(runtime, container, "true")


@with_runtime
async def test_the_end_of_the_container_is_no_answer(runtime: RuntimeUnderTest) -> None:
    """All of its processes are killed, in any order: that says nothing about its health."""
    for _ in range(5):
        container, _ = await running(runtime)
        async with asking(runtime, container, "sleep", "1000") as asked:
            os.kill((await runtime.record(container, ProcessStarted)).pid, signal.SIGKILL)

            assert await asked.answer() is None
        await runtime.record(container, ProcessExited)


@with_runtime
async def test_a_probe_that_is_killed_by_others_is_a_failure(runtime: RuntimeUnderTest) -> None:
    container, monitor = await running(runtime)
    async with asking(runtime, container, "sleep", "1000") as asked:
        os.kill(await probe_pid(monitor), signal.SIGKILL)

        assert (await asked.answer())["code"] == 137


@with_runtime
async def test_orders_of_clients_that_have_gone_are_not_carried_out(
    runtime: RuntimeUnderTest,
) -> None:
    """A monitor that was stopped for an hour has sixty of them pending."""
    container, monitor = await running(runtime)
    os.kill(monitor, signal.SIGSTOP)
    for _ in range(10):
        with trio.move_on_after(0.02):
            await probed(runtime, container, "sh", "-c", "echo ran >> /dev/ran")

    os.kill(monitor, signal.SIGCONT)

    assert (await probed(runtime, container, "cat", "/dev/ran"))["code"] == 1, (
        "there is no such file"
    )


@with_runtime
async def test_ten_thousand_probes_would_leave_nothing_behind(runtime: RuntimeUnderTest) -> None:
    container, monitor = await running(runtime)
    before, written = open_descriptors(monitor), runtime.journal_path(container).stat().st_size

    for args in (("true",), ("nope",), ("sh", "-c", "exit 1")) * 10:
        await probed(runtime, container, *args)

    eventually(lambda: open_descriptors(monitor) == before, "its descriptors are closed")
    assert len(children(monitor)) == 1
    assert runtime.journal_path(container).stat().st_size == written
