"""Test ``logs=1&stream=1``: the log and then the live output, without gap or duplicate."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final

import pytest

from tests.harness.client import Stream
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

COUNTS: Final = "i=0; while :; do i=$((i+1)); echo $i; [ $((i % 200)) = 0 ] && sleep 0.01; done"


def lines(stream: Stream) -> Iterator[bytes]:
    held = b""
    for _, payload in stream.frames():
        *whole, held = (held + payload).split(b"\n")
        yield from whole


@contextmanager
def attached(daemon: DaemonUnderTest, name: str) -> Iterator[Stream]:
    with daemon.api.attach(name, logs=1, stdin=0) as stream:
        yield stream


def test_a_client_misses_nothing_and_sees_nothing_twice(daemon: DaemonUnderTest) -> None:
    daemon.api.run("counts", "sh", "-c", COUNTS)
    eventually(lambda: len(daemon.api.logs("counts")) > 100_000, "there is a past")
    for _ in range(10):
        with attached(daemon, "counts") as stream:
            past = daemon.api.logs("counts").count(b"\n")
            wanted = past + 3000

            numbers = [int(line) for line in islice(lines(stream), wanted)]

        assert numbers == list(range(1, wanted + 1))


def test_a_line_that_has_not_ended_is_sent_once(daemon: DaemonUnderTest) -> None:
    script = "printf 'one\\ntwo '; while [ ! -e /go ]; do sleep 0.01; done; printf 'three\\n'"
    daemon.api.run("torn", "sh", "-c", script)
    with daemon.api.attach("torn", stdin=0, logs=0) as _:
        eventually(lambda: daemon.api.logs("torn") == b"one\n", "it has begun to speak")
    with attached(daemon, "torn") as stream:
        assert next(text for _, text in stream.frames()) == b"one\n"
        daemon.api.exec_output("torn", "touch", "/go")
        rest = b"".join(text for _, text in stream.frames())

    assert rest == b"two three\n"


def test_of_a_container_that_has_exited_the_log_is_sent_and_the_next_run_seen(
    daemon: DaemonUnderTest,
) -> None:
    daemon.api.run("again", "echo", "said")
    daemon.api.wait("again")
    with attached(daemon, "again") as stream:
        daemon.api.start("again")

        assert b"".join(text for _, text in stream.frames()) == b"said\nsaid\n"


def test_the_log_alone_ends_with_it(daemon: DaemonUnderTest) -> None:
    daemon.api.run("past", "sh", "-c", "echo said; sleep 1000")
    eventually(lambda: daemon.api.logs("past") == b"said\n", "it has spoken")
    with daemon.api.attach("past", logs=1, stream=0, stdin=0) as stream:
        assert b"".join(text for _, text in stream.frames()) == b"said\n"
