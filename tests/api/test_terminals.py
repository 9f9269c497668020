"""Test ``-it``, a real terminal: what users see and what the keys do; with both commands."""

import signal
from typing import Final

import pytest

from tests.api.clients import Client
from tests.api.terminals import COLUMNS, ROWS, Terminal
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

SHELL: Final = ("busybox", "sh")
CTRL_C, CTRL_D, CTRL_P_CTRL_Q, CTRL_Z = "\x03", "\x04", "\x10\x11", "\x1a"


def commands(daemon: DaemonUnderTest, container: str) -> list[str]:
    """Return what runs in a container, as ``ps`` shows it."""
    return [row[-1] for row in daemon.api.get(f"/containers/{container}/top")["Processes"]]


def test_the_terminal_is_raw_while_the_container_has_it(client: Client) -> None:
    with Terminal(client, "run", "-it", "--rm", *SHELL) as terminal:
        terminal.until("/ # ")
        assert terminal.is_raw

        assert terminal.asks("tty") == "/dev/pts/0"
        assert terminal.asks("echo $TERM") == "xterm"
        terminal.type("exit 7\n")

        assert terminal.ends() == 7
        assert terminal.is_as_before


def test_the_window_has_its_size_inside_from_the_start_and_after_each_change(
    client: Client,
) -> None:
    with Terminal(client, "run", "-it", "--rm", *SHELL) as terminal:
        terminal.until("/ # ")
        assert terminal.asks("stty size") == f"{ROWS} {COLUMNS}"

        terminal.drag(25, 80, lambda: terminal.asks("stty size") == "25 80")


def test_a_window_change_is_a_signal_inside(client: Client) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done"
    with Terminal(client, "run", "-it", "--rm", "busybox", "sh", "-c", script) as terminal:
        terminal.until("ready")

        terminal.drag(25, 80, lambda: terminal.has_drawn("25 80"))


def test_jobs_stop_continue_and_are_interrupted(client: Client, daemon: DaemonUnderTest) -> None:
    with Terminal(client, "run", "-it", "--name", "jobs", *SHELL) as terminal:
        terminal.until("/ # ")
        terminal.type("sleep 1000\n")
        eventually(lambda: "sleep 1000" in commands(daemon, "jobs"), "the job runs", catch=Refused)
        terminal.type(CTRL_Z)
        terminal.until("Stopped")
        terminal.until("# ")
        assert "Stopped" in terminal.asks("jobs")

        terminal.type("fg\n")
        terminal.until("sleep 1000\r\n")
        terminal.type(CTRL_C)

        assert terminal.asks("echo $?") == "130"
        assert terminal.ends_by(CTRL_D) == 0


def test_the_detach_keys_leave_it_running_and_it_can_be_attached_again(
    client: Client, daemon: DaemonUnderTest
) -> None:
    with Terminal(client, "run", "-it", "--name", "kept", *SHELL) as terminal:
        terminal.until("/ # ")
        terminal.asks("memory=kept")
        terminal.type(CTRL_P_CTRL_Q)
        assert terminal.ends() == 0
        assert terminal.is_as_before
    assert daemon.api.status("kept") == "running"

    with Terminal(client, "attach", "kept") as terminal:
        terminal.await_raw()
        assert terminal.asks("echo $memory") == "kept"
        terminal.type("exit 3\n")

        assert terminal.ends() == 3
    assert daemon.api.status("kept") == "exited"


def test_other_detach_keys_are_ones_own(client: Client, daemon: DaemonUnderTest) -> None:
    """Then the usual ones are keys like any other."""
    words = ("run", "-it", "--name", "kept", "--detach-keys", "ctrl-x,x")
    with Terminal(client, *words, "busybox", "cat") as terminal:
        terminal.await_raw()
        terminal.type("ready\n")
        terminal.until("ready\r\nready\r\n")
        terminal.type("\x18x")

        assert terminal.ends() == 0
    assert daemon.api.status("kept") == "running"


def test_a_container_with_a_terminal_is_started_attached(
    client: Client, daemon: DaemonUnderTest
) -> None:
    client.ok("create", "-it", "--name", "later", *SHELL)

    with Terminal(client, "start", "-ai", "later") as terminal:
        terminal.until("/ # ")
        assert terminal.asks("echo here") == "here"
        terminal.type("exit 5\n")

        assert terminal.ends() == 5
        assert terminal.is_as_before


def test_an_exec_has_a_terminal_of_its_own(client: Client, daemon: DaemonUnderTest) -> None:
    daemon.api.run("host", "sleep", "1000")

    with Terminal(client, "exec", "-it", "host", "sh") as terminal:
        terminal.until("/ # ")
        assert terminal.asks("stty size") == f"{ROWS} {COLUMNS}"
        terminal.drag(30, 90, lambda: terminal.asks("stty size") == "30 90")
        terminal.type("exit 9\n")

        assert terminal.ends() == 9
        assert terminal.is_as_before


def test_detach_keys_leave_an_exec_running(client: Client, daemon: DaemonUnderTest) -> None:
    daemon.api.run("host", "sleep", "1000")

    with Terminal(client, "exec", "-it", "host", "sh") as terminal:
        terminal.until("/ # ")
        terminal.type(CTRL_P_CTRL_Q)

        terminal.until("read escape sequence")
        assert terminal.ends() == 1  # as Docker's: its outcome is unknown
    assert commands(daemon, "host") == ["sleep 1000", "sh"]


def test_keys_reach_a_program_with_a_terminal_as_they_are(client: Client) -> None:
    """No key is the client's own: Ctrl-C is a byte, and its meaning is decided inside."""
    script = "stty raw -echo; echo ready; dd bs=1 count=4 2>/dev/null | od -An -tx1"
    with Terminal(client, "run", "-it", "--rm", "busybox", "sh", "-c", script) as terminal:
        terminal.until("ready")
        terminal.type(CTRL_C + CTRL_Z + "\x1c" + CTRL_D)

        terminal.until("03 1a 1c 04")
        assert terminal.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_killed_client_restores_the_terminal_and_the_container_goes_on(
    number: signal.Signals, shipslog: Client, daemon: DaemonUnderTest
) -> None:
    with Terminal(shipslog, "run", "-it", "--name", "kept", *SHELL) as terminal:
        terminal.until("/ # ")
        assert terminal.is_raw

        terminal.signal(number)

        assert terminal.ends() == -number
        assert terminal.is_as_before
    assert daemon.api.status("kept") == "running"


def test_without_a_terminal_none_is_made(client: Client) -> None:
    done = client("run", "--rm", "-it", "busybox", "true")

    assert (done.code, done.err) == (1, "the input device is not a TTY\n")


def test_the_log_holds_what_the_terminal_showed(client: Client) -> None:
    with Terminal(client, "run", "-it", "--name", "web", *SHELL) as terminal:
        terminal.until("/ # ")
        terminal.asks("echo shown")
        terminal.type("exit\n")
        terminal.ends()

    assert "shown; echo '<'1'>'\r\nshown\r\n<1>\r\n" in client.ok("logs", "web")
