"""Clients of a monitor get the streams that they asked for, and may come and go."""

import re

import trio

from engine.errors import DriverError
from engine.runtime.clients import frame_header
from engine.runtime.facts import (
    AttachEnded,
    ExecProcessExited,
    ProcessExited,
    ProcessStarted,
)
from tests.kernel.monitors import (
    RuntimeUnderTest,
    with_runtime,
)


@with_runtime
async def test_an_end_of_file_from_the_client_ends_the_standard_input(
    runtime: RuntimeUnderTest,
) -> None:
    container = runtime.bundle("cat", open_stdin=True, stdin_once=True)
    client = await runtime.launch_attached(container)

    await client.send(b"x" * 200_000)
    client.half_close()

    seen = await client.read()
    payload = b"".join(re.split(rb"\x01\x00\x00\x00....", seen, flags=re.DOTALL))
    assert payload == b"x" * 200_000
    assert (await runtime.record(container, ProcessExited)).code == 0


@with_runtime
async def test_a_client_that_leaves_leaves_the_input_of_a_lasting_container_open(
    runtime: RuntimeUnderTest,
) -> None:
    container = runtime.bundle("cat", open_stdin=True)
    first = await runtime.launch_attached(container, attach_id="first", stdin=True, stdout=True)
    await first.send(b"one\n")
    await first.read(b"one\n")

    first.close()
    gone = await runtime.record(container, AttachEnded)
    second = await runtime.attach(container, attach_id="second", stdin=True, stdout=True)
    await second.send(b"two\n")

    assert (gone.attach_id, gone.reason) == ("first", "eof")
    assert await second.read(b"two\n") == frame_header(1, 4) + b"two\n"


@with_runtime
async def test_what_was_read_of_a_client_already_comes_first(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("cat", open_stdin=True, stdin_once=True)

    client = await runtime.launch_attached(container, stdin=True, stdout=True, unread=b"early ")
    await client.send(b"late\n")
    client.half_close()

    seen = await client.read()
    assert re.sub(rb"\x01\x00\x00\x00....", b"", seen) == b"early late\n"


@with_runtime
async def test_every_client_gets_the_streams_it_asked_for(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("sh", "-c", "read go; echo out; echo err >&2", open_stdin=True)
    await runtime.launch(container)
    out = await runtime.attach(container, stdin=True, stdout=True)
    err = await runtime.attach(container, stderr=True)

    await out.send(b"\n")

    assert await out.read() == frame_header(1, 4) + b"out\n"
    assert await err.read() == frame_header(2, 4) + b"err\n"


@with_runtime
async def test_a_client_without_input_may_close_its_side_and_still_listens(
    runtime: RuntimeUnderTest,
) -> None:
    container = runtime.bundle("sh", "-c", "read go; echo done", open_stdin=True)
    await runtime.launch(container)
    listener = await runtime.attach(container, stdout=True)
    listener.half_close()
    typist = await runtime.attach(container, stdin=True)

    await typist.send(b"\n")

    assert await listener.read() == frame_header(1, 5) + b"done\n"


@with_runtime
async def test_a_terminal_echoes_and_has_a_size(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("sh", "-c", "read go; stty size", tty=True, open_stdin=True)
    client = await runtime.launch_attached(container)
    await runtime.record(container, ProcessStarted)

    await runtime.monitors.resize(container, None, height=33, width=111)
    await client.send(b"go\n")

    assert await client.read() == b"go\r\n33 111\r\n"
    assert runtime.log(container) == "go\r\n33 111\r\n"


@with_runtime
async def test_detach_keys_detach_a_terminal_even_when_typed_slowly(
    runtime: RuntimeUnderTest,
) -> None:
    container = runtime.bundle("cat", tty=True, open_stdin=True)
    client = await runtime.launch_attached(
        container, stdin=True, stdout=True, detach_keys=b"\x10\x11"
    )
    await runtime.record(container, ProcessStarted)

    await client.send(b"\x10")
    await client.send(b"a\n")  # not the keys after all: Ctrl-P is passed on
    await client.read(b"\x10a\r\n")
    await client.send(b"\x10")
    await client.send(b"\x11")

    await client.read()
    closed = await runtime.record(container, AttachEnded)
    assert closed.reason == "detached"
    assert not any(isinstance(record, ProcessExited) for record in runtime.journal(container))


@with_runtime
async def test_a_container_that_does_not_read_makes_its_client_wait(
    runtime: RuntimeUnderTest,
) -> None:
    container = runtime.bundle("sleep", "1000", open_stdin=True)
    client = await runtime.launch_attached(container)
    await runtime.record(container, ProcessStarted)

    sent = 0
    with trio.move_on_after(0.5):
        while True:
            await trio.lowlevel.wait_writable(client.ours)
            sent += client.ours.send(b"x" * 65536)

    assert sent < 2_000_000
    client.close()  # the client's end is noticed although all buffers are full
    execed = await runtime.exec(container, "true")
    await execed.read()
    assert (await runtime.record(container, ExecProcessExited)).code == 0


@with_runtime
async def test_an_attached_client_survives_the_daemon(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("cat", open_stdin=True)
    client = await runtime.launch_attached(container)
    await runtime.record(container, ProcessStarted)

    runtime.monitors.forget(container)
    runtime.launcher.close = lambda: None  # type: ignore[method-assign]  # closed right here instead
    type(runtime.launcher).close(runtime.launcher)
    await client.send(b"anyone?\n")

    assert b"anyone?" in await client.read(b"anyone?\n")


@with_runtime
async def test_no_one_can_attach_to_what_is_over(runtime: RuntimeUnderTest) -> None:
    container = runtime.bundle("true")
    await runtime.launch(container)
    await runtime.record(container, ProcessExited)

    try:
        await runtime.attach(container)
    except DriverError as error:
        refused = str(error)

    assert "monitor" in refused or "exited" in refused
