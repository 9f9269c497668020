"""Test the port ``Streams``: clients, logs, terminals and processes of containers, simulated and
real.
"""

import socket
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import pytest
import trio

from engine.domain.container.log_config import LogConfig
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.errors import DriverError
from engine.ports import actions as do
from engine.ports.streams import Client, LogOptions, StreamOptions
from tests.contract.kernels import LOOK_S, MachineUnderTest, on_each_kernel
from tests.contract.programs import Program

OUTPUT = Program(stdout="one\n", stderr="two\n")
ECHO = Program(echoes=True)
EVERYTHING = StreamOptions(stdin=True, stdout=True, stderr=True)
STDOUT, STDERR = 1, 2
BLOCK_BYTES = 4096


class Connection:
    """A client's end, and the end that the port is given."""

    def __init__(self, ours: socket.socket, client: Client) -> None:
        self._socket = ours
        self.ours = trio.socket.from_stdlib_socket(ours)
        self.client = client
        self.seen = b""

    async def until(self, enough: bytes) -> None:
        """Read until some bytes have come."""
        while enough not in self.seen:
            block = await self.ours.recv(BLOCK_BYTES)
            assert block, f"closed after {self.seen!r}"
            self.seen += block

    async def rest(self) -> bytes:
        """Read until the connection is closed; everything that has come."""
        while block := await self.ours.recv(BLOCK_BYTES):
            self.seen += block
        return self.seen

    @property
    def has_nothing(self) -> bool:
        """Whether nothing has come, and the connection is open."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        return False


@contextmanager
def connection(unread: bytes = b"") -> Iterator[Connection]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Connection(ours, Client(connection=theirs, unread=unread))


def payloads(data: bytes) -> dict[int, bytes]:
    """What came on each stream."""
    found: defaultdict[int, bytes] = defaultdict(bytes)
    while data:
        stream, size = struct.unpack(">BxxxI", data[:8])
        found[stream] += data[8 : 8 + size]
        data = data[8 + size :]
    return dict(found)


async def attach(
    machine: MachineUnderTest,
    container: ContainerId,
    client: Client,
    options: StreamOptions = EVERYTHING,
) -> None:
    await machine.streams.attach(machine.container(container), "a", options, client)


async def logged(
    machine: MachineUnderTest,
    container: ContainerId,
    options: LogOptions = LogOptions(),  # noqa: B008  (a value)
    ended: trio.Event | None = None,
) -> bytes:
    blocks = machine.streams.logs(machine.container(container), options, ended)
    async with aclosing(blocks):
        return b"".join([block async for block in blocks])


async def printed(machine: MachineUnderTest, **fields: Any) -> ContainerId:
    """A container that runs, and has printed both lines."""
    container = await machine.start(OUTPUT, **fields)
    await until_logged(machine, container, b"one\n", b"two\n")
    return container


async def until_logged(machine: MachineUnderTest, container: ContainerId, *lines: bytes) -> None:
    """Return when the log has some lines."""
    while True:
        log = await logged(machine, container)
        if all(line in log for line in lines):
            return
        await trio.sleep(LOOK_S)


# --- Attaching ---


@on_each_kernel
async def test_who_attaches_before_the_start_gets_all_output_until_the_end(
    machine: MachineUnderTest,
) -> None:
    container = await machine.create(OUTPUT)
    with connection() as client:
        await attach(machine, container, client.client)
        assert client.has_nothing
        await machine.prepare(container)

        await machine.act(container, do.Launch())
        await machine.take(container)
        await client.until(b"one\n")
        await client.until(b"two\n")
        await machine.end(container)

        assert payloads(await client.rest()) == {STDOUT: b"one\n", STDERR: b"two\n"}


@on_each_kernel
async def test_a_client_gets_the_streams_that_it_wants(machine: MachineUnderTest) -> None:
    container = await machine.create(OUTPUT)
    with connection() as out, connection() as err:
        await attach(machine, container, out.client, StreamOptions(stdout=True, raw=True))
        await attach(machine, container, err.client, StreamOptions(stderr=True))
        await machine.prepare(container)
        await machine.act(container, do.Launch())
        await machine.take(container)
        await out.until(b"one\n")
        await err.until(b"two\n")
        await machine.end(container)

        assert await out.rest() == b"one\n", "without frames, as it asked"
        assert payloads(await err.rest()) == {STDERR: b"two\n"}


@on_each_kernel
async def test_a_terminal_has_one_stream_without_frames(machine: MachineUnderTest) -> None:
    container = await machine.create(Program(stdout="one\n"), tty=True)
    with connection() as client:
        await attach(machine, container, client.client)
        await machine.prepare(container)
        await machine.act(container, do.Launch())
        await machine.take(container)
        await client.until(b"\r\n")
        await machine.end(container)

        assert await client.rest() == b"one\r\n"


@on_each_kernel
async def test_what_a_client_types_reaches_the_process(machine: MachineUnderTest) -> None:
    container = await machine.start(ECHO, open_stdin=True)
    with connection(unread=b"typed ahead\n") as client:
        await attach(machine, container, client.client)
        await client.until(b"typed ahead\n")

        await client.ours.send(b"typed later\n")

        await client.until(b"typed later\n")
        assert payloads(client.seen) == {STDOUT: b"typed ahead\ntyped later\n"}


@on_each_kernel
async def test_who_attaches_later_gets_what_comes_from_then_on(machine: MachineUnderTest) -> None:
    container = await machine.start(ECHO, open_stdin=True)
    with connection(unread=b"first\n") as early, connection(unread=b"second\n") as late:
        await attach(machine, container, early.client)
        await early.until(b"first\n")

        await attach(machine, container, late.client)

        await early.until(b"second\n")
        await late.until(b"second\n")
        assert payloads(late.seen) == {STDOUT: b"second\n"}


@on_each_kernel
async def test_a_start_that_will_not_come_is_not_waited_for(machine: MachineUnderTest) -> None:
    container = await machine.create()
    with connection() as client:
        await attach(machine, container, client.client)

        machine.streams.forget(container)
        machine.streams.forget(container)

        assert await client.rest() == b""


@on_each_kernel
async def test_a_start_that_fails_lets_go_of_who_waited(machine: MachineUnderTest) -> None:
    container = await machine.create(Program(is_missing=True))
    with connection() as client:
        await attach(machine, container, client.client)
        await machine.prepare(container)

        await machine.act(container, do.Launch())

        assert await client.rest() == b""


@on_each_kernel
async def test_of_a_run_that_is_over_nobody_knows_yet(machine: MachineUnderTest) -> None:
    container = await machine.start()
    running = machine.container(container)
    await machine.act(container, do.KillEverything())
    await machine.until(container, lambda seen: not seen.monitor_alive)
    with connection() as client:
        with pytest.raises(DriverError):
            await machine.streams.attach(running, "a", EVERYTHING, client.client)

        assert await client.rest() == b""


# --- The log first ---


@on_each_kernel
async def test_the_log_comes_first_and_then_what_is_printed(machine: MachineUnderTest) -> None:
    container = await machine.start(ECHO, open_stdin=True)
    with connection(unread=b"first\n") as early, connection(unread=b"second\n") as late:
        await attach(machine, container, early.client)
        await early.until(b"first\n")
        await until_logged(machine, container, b"first\n")

        await machine.streams.attach_after_log(
            machine.container(container),
            lambda: machine.container(container),
            "late",
            EVERYTHING,
            late.client,
            LogOptions(),
        )

        await late.until(b"second\n")
        assert payloads(late.seen) == {STDOUT: b"first\nsecond\n"}


@on_each_kernel
async def test_who_is_too_late_to_attach_gets_the_log_alone(machine: MachineUnderTest) -> None:
    container = await printed(machine)
    known = machine.container(container)

    def gone() -> Container | None:
        return None

    with connection() as client:
        await machine.streams.attach_after_log(
            known, gone, "a", EVERYTHING, client.client, LogOptions(stderr=False)
        )

        assert payloads(await client.rest()) == {STDOUT: b"one\n"}


@on_each_kernel
async def test_who_attaches_between_two_runs_waits_for_the_next(machine: MachineUnderTest) -> None:
    container = await printed(machine)
    await machine.end(container)
    known = machine.container(container)
    with connection() as client:
        await machine.streams.attach_after_log(
            known, lambda: known, "a", EVERYTHING, client.client, LogOptions()
        )
        await client.until(b"one\n")
        await client.until(b"two\n")

        machine.streams.forget(container)

        assert payloads(await client.rest()) == {STDOUT: b"one\n", STDERR: b"two\n"}


# --- Execs ---


@on_each_kernel
async def test_an_exec_is_connected_with_who_asked_for_it(machine: MachineUnderTest) -> None:
    container = await machine.start()
    execution = await machine.ask_exec(container, "echo", "hello")
    with connection() as client:
        machine.streams.offer_exec(execution.id, EVERYTHING, client.client)

        await machine.act(container, do.StartExec(execution))

        assert payloads(await client.rest()) == {STDOUT: b"hello\n"}


@on_each_kernel
async def test_an_exec_runs_without_a_client(machine: MachineUnderTest) -> None:
    container = await machine.start()
    offered = await machine.ask_exec(container, "echo", "hello")
    unknown = await machine.ask_exec(container, "echo", "hello")
    machine.streams.offer_exec(offered.id, StreamOptions(), None)

    for execution in (offered, unknown):
        assert await machine.act(container, do.StartExec(execution))


@on_each_kernel
async def test_an_exec_that_will_not_be_started_lets_go_of_its_client(
    machine: MachineUnderTest,
) -> None:
    container = await machine.start()
    execution = await machine.ask_exec(container, "echo", "hello")
    with connection() as client:
        machine.streams.offer_exec(execution.id, EVERYTHING, client.client)

        machine.streams.withdraw_exec(execution.id)
        machine.streams.withdraw_exec(execution.id)

        assert await client.rest() == b""


# --- Logs ---


@on_each_kernel
async def test_of_a_container_that_never_ran_there_is_no_log(machine: MachineUnderTest) -> None:
    container = await machine.create(OUTPUT)

    assert await logged(machine, container) == b""


@on_each_kernel
async def test_a_log_has_the_streams_and_lines_that_are_asked_for(
    machine: MachineUnderTest,
) -> None:
    container = await printed(machine)

    async def found(**options: Any) -> dict[int, bytes]:
        return payloads(await logged(machine, container, LogOptions(**options)))

    assert await found(stderr=False) == {STDOUT: b"one\n"}
    assert await found(stdout=False) == {STDERR: b"two\n"}
    assert sum(map(len, (await found(tail=1)).values())) == len(b"two\n")
    assert await found(tail=0) == {}
    assert await logged(machine, container, LogOptions(stderr=False, raw=True)) == b"one\n"


@on_each_kernel
async def test_a_log_is_there_after_the_end(machine: MachineUnderTest) -> None:
    container = await printed(machine)
    await machine.end(container)

    assert payloads(await logged(machine, container)) == {STDOUT: b"one\n", STDERR: b"two\n"}


@on_each_kernel
async def test_a_log_that_is_not_kept_is_empty(machine: MachineUnderTest) -> None:
    container = await machine.start(OUTPUT, log=LogConfig(driver="none"))
    await machine.end(container)

    assert await logged(machine, container) == b""


@on_each_kernel
async def test_a_log_is_followed_until_the_end_is_known(machine: MachineUnderTest) -> None:
    container = await printed(machine)
    ended = trio.Event()
    found = b""
    options = LogOptions(follow=True)
    async with aclosing(
        machine.streams.logs(machine.container(container), options, ended)
    ) as blocks:
        while payloads(found) != {STDOUT: b"one\n", STDERR: b"two\n"}:
            found += await anext(blocks)

        ended.set()

        assert [block async for block in blocks] == []


# --- Processes and terminals ---


@on_each_kernel
async def test_processes_are_those_that_run(machine: MachineUnderTest) -> None:
    container = await machine.start()
    process = machine.container(container).process
    assert process is not None

    assert process.pid in await machine.streams.processes(machine.container(container))

    await machine.end(container)
    assert await machine.streams.processes(machine.container(container)) == ()


@on_each_kernel
async def test_a_terminal_gets_its_size_and_nothing_else_does(machine: MachineUnderTest) -> None:
    with_terminal = machine.container(await machine.start(tty=True))
    without = machine.container(await machine.start())

    await machine.streams.resize(with_terminal, None, height=24, width=80)

    with pytest.raises(DriverError):
        await machine.streams.resize(without, None, height=24, width=80)
    ended = machine.container(with_terminal.id)
    await machine.end(with_terminal.id)
    with pytest.raises(DriverError):
        await machine.streams.resize(ended, None, height=24, width=80)
