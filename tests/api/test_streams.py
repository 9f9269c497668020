"""Test bytes in and out of containers without a terminal: none lost, none added, in order; with
both commands.
"""

import signal
import socket
import subprocess
from collections.abc import Callable
from hashlib import sha256
from typing import Final

import pytest

from tests.api.clients import Client
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest
from tests.timeouts import patient

pytestmark = pytest.mark.root

MEGABYTES: Final = 8
BIG: Final = bytes(range(256)) * (MEGABYTES * 4096)
PRINTS_SIGNALS: Final = (
    'for name in HUP INT TERM USR1; do trap "echo $name; exit 9" $name; done; '
    "echo ready; while :; do sleep 0.02; done"
)


def line_from(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def ends(process: subprocess.Popen[bytes]) -> int:
    return process.wait(patient(20))


def attached(daemon: DaemonUnderTest, container: str, count: int) -> Callable[[], bool]:
    """True if this many clients are attached, according to the history."""
    return lambda: len(daemon.api.history(container, type="container_attach_opened")) == count


def test_the_end_of_input_reaches_the_program(client: Client) -> None:
    """The client closes one half: the other still brings the output."""
    assert client.ok("run", "--rm", "-i", "busybox", "cat", given=b"x\n") == "x"
    assert client.ok("run", "--rm", "-i", "busybox", "wc", "-c", given=b"") == "0"


def test_without_i_there_is_no_input(client: Client) -> None:
    assert client.ok("run", "--rm", "busybox", "cat", given=b"x\n") == ""


def test_both_streams_are_separated(client: Client) -> None:
    done = client("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")

    assert (done.raw_out, done.raw_err, done.code) == (b"out\n", b"err\n", 3)


def test_megabytes_go_in_and_come_out_as_they_were(client: Client) -> None:
    done = client("run", "--rm", "-i", "busybox", "cat", given=BIG)

    assert done.code == 0
    assert len(done.raw_out) == len(BIG)
    assert sha256(done.raw_out).digest() == sha256(BIG).digest()


def test_megabytes_go_through_an_exec_as_they_were(client: Client, daemon: DaemonUnderTest) -> None:
    daemon.api.run("host", "sleep", "1000")

    done = client("exec", "-i", "host", "cat", given=BIG)

    assert done.code == 0
    assert done.raw_out == BIG


def test_a_log_holds_all_that_an_attached_client_saw(client: Client) -> None:
    script = "for i in $(seq 20000); do echo line $i of many; done; echo end >&2"

    seen = client("run", "--name", "chatty", "busybox", "sh", "-c", script)

    logged = client("logs", "chatty")
    assert seen.raw_out.count(b"\n") == 20000
    assert (logged.raw_out, logged.raw_err) == (seen.raw_out, seen.raw_err)


def test_two_clients_attached_at_once_see_the_same_and_both_may_type(
    client: Client, daemon: DaemonUnderTest
) -> None:
    client.ok("run", "-d", "-i", "--name", "shared", "busybox", "cat")
    with client.started("attach", "shared") as one, client.started("attach", "shared") as other:
        eventually(attached(daemon, "shared", 2), "both are attached")
        assert one.stdin is not None
        assert other.stdin is not None

        one.stdin.write(b"from one\n")
        one.stdin.flush()
        assert [line_from(one), line_from(other)] == [b"from one\n"] * 2
        other.stdin.write(b"from the other\n")
        other.stdin.flush()
        assert [line_from(one), line_from(other)] == [b"from the other\n"] * 2

        daemon.api.kill("shared")
        assert [ends(one), ends(other)] == [137, 137]
    assert client.ok("logs", "shared") == "from one\nfrom the other"


@pytest.mark.parametrize("name", ["HUP", "INT", "TERM", "USR1"])
def test_signals_are_passed_on_without_a_terminal(
    name: str, client: Client, daemon: DaemonUnderTest
) -> None:
    words = ("run", "--name", "trap", "busybox", "sh", "-c", PRINTS_SIGNALS)
    with client.started(*words) as process:
        assert line_from(process) == b"ready\n"
        eventually(lambda: daemon.api.status("trap") == "running", "known to run")

        process.send_signal(signal.Signals[f"SIG{name}"])

        assert line_from(process) == f"{name}\n".encode()
        assert ends(process) == 9


def test_signals_may_be_kept(shipslog: Client, daemon: DaemonUnderTest) -> None:
    with shipslog.started(
        "run", "--sig-proxy=false", "--name", "kept", "busybox", "sh", "-c", PRINTS_SIGNALS
    ) as process:
        assert line_from(process) == b"ready\n"

        process.send_signal(signal.SIGINT)

        assert ends(process) == -signal.SIGINT
    assert daemon.api.status("kept") == "running"


def test_a_client_that_is_killed_leaves_the_container_as_it_was(
    client: Client, daemon: DaemonUnderTest
) -> None:
    script = "echo ready; sleep 0.2; yes | head -c 300000; exec sleep 1000"
    with client.started("run", "--name", "kept", "busybox", "sh", "-c", script) as process:
        assert line_from(process) == b"ready\n"
        process.kill()

    eventually(
        lambda: len(daemon.api.logs("kept")) == 300006, "all of it is written", catch=Refused
    )
    assert daemon.api.status("kept") == "running"


def test_only_the_streams_that_are_asked_for_are_attached(client: Client) -> None:
    done = client("run", "--rm", "-a", "stderr", "busybox", "sh", "-c", "echo out; echo err >&2")

    assert (done.raw_out, done.raw_err) == (b"", b"err\n")


def test_a_container_is_started_again_with_its_streams(client: Client) -> None:
    client.ok("create", "-i", "--name", "again", "busybox", "sh", "-c", "cat; exit 6")

    for given in (b"once\n", b"twice\n"):
        done = client("start", "-ai", "again", given=given)
        assert (done.raw_out, done.code) == (given, 6)
    assert client.ok("logs", "again") == "once\ntwice"


def test_a_client_that_reads_the_head_through_a_buffer_loses_nothing_of_a_replayed_log(
    daemon: DaemonUnderTest,
) -> None:
    """docker-py's buffer would swallow bytes that came with the head: so none come with it."""
    container = daemon.api.run("said", "echo", "long ago")
    assert daemon.api.wait(container) == 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patient(20))
        connection.connect(str(daemon.api.socket_path))
        target = f"/containers/{container}/attach?logs=1&stdout=1"
        connection.sendall(f"POST {target} HTTP/1.1\r\nHost: x\r\nUpgrade: tcp\r\n\r\n".encode())

        head = connection.recv(65536)
        assert head.endswith(b"\r\n\r\n"), head
        assert connection.recv(65536) == b"\x01\0\0\0\0\0\0\x09long ago\n"
