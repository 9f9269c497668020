"""Test that a monitor's memory does not grow with what it has done."""

import resource
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
import trio

from engine.domain.ids import ContainerId
from engine.runtime.facts import AttachEnded, ExecProcessExited, MonitorBegan, ProcessStarted
from engine.runtime.messages import ProbeOrder
from tests.kernel.monitors import Client, RuntimeUnderTest, process, with_runtime

PAGE_KB: Final = resource.getpagesize() // 1024
PAGES_MORE_MAX: Final = 8
"""What the last 64 execs and buffers that come and go may take."""

JOURNAL_RECORDS: Final = 16
PACKET_BYTES: Final = 1 << 14

Work = Callable[[RuntimeUnderTest, ContainerId, Client, int], Awaitable[None]]


def dirty_pages(pid: int) -> int:
    """Pages that a process shares with nobody and has written to: proc_pid_smaps(5)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (dirty_kb,) = (int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))
    return dirty_kb // PAGE_KB


async def print_lines(
    runtime: RuntimeUnderTest, container: ContainerId, client: Client, count: int
) -> None:
    for number in range(count):
        await client.send(b"line %d of the log\n" % number)
        await client.read(b"line %d of the log\n" % number)


async def run_execs(
    runtime: RuntimeUnderTest, container: ContainerId, client: Client, count: int
) -> None:
    for number in range(count):
        execution = await runtime.exec(container, "true")
        await execution.read()
        execution.close()
        await runtime.record(container, _is_end_of(execution.exec_id))
        forget_records(runtime, container, number)


async def run_probes(
    runtime: RuntimeUnderTest, container: ContainerId, client: Client, count: int
) -> None:
    for _ in range(count):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            await runtime.monitors.start_probe(container, ProbeOrder(process("true")), theirs)
            await trio.lowlevel.wait_readable(ours)
            assert ours.recv(PACKET_BYTES)


async def attach_clients(
    runtime: RuntimeUnderTest, container: ContainerId, client: Client, count: int
) -> None:
    for number in range(count):
        name = f"client-{count}-{number}"
        attached = await runtime.attach(container, attach_id=name, stdin=True, stdout=True)
        attached.close()
        await runtime.record(container, _is_end_of_attachment(name))
        forget_records(runtime, container, number)


def forget_records(runtime: RuntimeUnderTest, container: ContainerId, number: int) -> None:
    """Shorten the journal by what it has, now and then, as the daemon does."""
    if number % JOURNAL_RECORDS == 0:
        taken = runtime.journal(container)[-1].stamp.number
        runtime.monitors.forget_facts(container, taken)


def _is_end_of(exec_id: str) -> Callable[[object], bool]:
    return lambda fact: isinstance(fact, ExecProcessExited) and fact.exec_id == exec_id


def _is_end_of_attachment(name: str) -> Callable[[object], bool]:
    return lambda fact: isinstance(fact, AttachEnded) and fact.attach_id == name


@pytest.mark.parametrize(
    ("work", "count"), [(print_lines, 100), (run_execs, 20), (run_probes, 10), (attach_clients, 10)]
)
def test_ten_times_as_much_has_no_more_memory(work: Work, count: int, tmp_path: Path) -> None:
    @with_runtime
    async def scenario(runtime: RuntimeUnderTest) -> None:
        container = runtime.bundle("cat", open_stdin=True)
        client = await runtime.launch_attached(container)
        await runtime.record(container, ProcessStarted)
        monitor = (await runtime.record(container, MonitorBegan)).pid
        await work(runtime, container, client, count)
        before = dirty_pages(monitor)

        await work(runtime, container, client, 10 * count)

        assert dirty_pages(monitor) <= before + PAGES_MORE_MAX

    scenario(tmp_path)
