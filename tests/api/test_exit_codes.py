"""Test exit codes of a run: the program's code, 128 + n for signals, and 125 to 127 for what never
ran.
"""

import pytest

from tests.api.clients import Client
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

TRAPS = "trap 'exit 43' TERM; while :; do sleep 0.02; done"

OWN_CODES: list[tuple[list[str], int]] = [
    (["true"], 0),
    (["false"], 1),
    (["sh", "-c", "exit 42"], 42),
    (["sh", "-c", "exit 255"], 255),
    (["sh", "-c", "exit 127"], 127),
    (["sh", "-c", "sh -c 'kill -KILL $$' 2>/dev/null; exit $?"], 137),
]
REFUSED: list[tuple[list[str], int, str]] = [
    (["nope"], 127, 'exec: "nope": executable file not found in $PATH'),
    (["/bin/nope"], 127, 'exec: "/bin/nope": stat /bin/nope: no such file or directory'),
    (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
    (["/etc"], 126, 'exec: "/etc": permission denied'),
]
OCI = "failed to create task for container: failed to create shim task: OCI runtime create failed: "
RUNC = "runc create failed: unable to start container process: "


@pytest.mark.parametrize(("command", "code"), OWN_CODES)
def test_a_run_ends_as_its_program(command: list[str], code: int, client: Client) -> None:
    done = client("run", "--rm", "busybox", *command)

    assert (done.code, done.err) == (code, "")


@pytest.mark.parametrize(("command", "code"), OWN_CODES)
def test_an_exec_ends_as_its_program(
    command: list[str], code: int, client: Client, daemon: DaemonUnderTest
) -> None:
    daemon.api.run("host", "sleep", "1000")

    done = client("exec", "host", *command)

    assert (done.code, done.err) == (code, "")


@pytest.mark.parametrize(("command", "code", "words"), REFUSED)
def test_a_command_that_cannot_be_executed_is_refused_as_by_a_shell(
    command: list[str], code: int, words: str, client: Client, daemon: DaemonUnderTest
) -> None:
    done = client("run", "--rm", "busybox", *command)

    assert done.code == code
    assert f"{client.name}: Error response from daemon: {OCI}{RUNC}{words}: unknown\n" in done.err
    assert daemon.api.ps() == []


@pytest.mark.parametrize(("command", "code", "words"), REFUSED)
def test_an_exec_that_cannot_be_executed_is_reported_on_its_stream(
    command: list[str], code: int, words: str, client: Client, daemon: DaemonUnderTest
) -> None:
    daemon.api.run("host", "sleep", "1000")

    done = client("exec", "host", *command)

    assert (done.code, done.err) == (code, "")
    assert (
        done.line.rstrip("\r")
        == f"OCI runtime exec failed: exec failed: unable to start container process: {words}: unknown"
    )


def test_a_start_that_fails_leaves_the_container_created_with_the_reason(client: Client) -> None:
    client.ok("create", "--name", "broken", "busybox", "nope")

    done = client("start", "broken")

    assert done.code == 1
    assert 'exec: "nope": executable file not found in $PATH: unknown\n' in done.err
    assert done.err.endswith("Error: failed to start containers: broken\n")
    form = "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}"
    found = client.ok("inspect", "-f", form, "broken")
    assert (
        found == f'created 127 {OCI}{RUNC}exec: "nope": executable file not found in $PATH: unknown'
    )
    assert client.ok("ps", "-a", "--format", "{{.Names}} {{.Status}}") == "broken Created"


def test_an_unknown_user_is_refused(client: Client, daemon: DaemonUnderTest) -> None:
    done = client("run", "--rm", "-u", "nosuch", "busybox", "true")

    assert done.code == 125
    assert "unable to find user nosuch: no matching entries in passwd file" in done.err
    assert daemon.api.ps() == []


def test_an_exec_of_an_unknown_user_is_refused(client: Client, daemon: DaemonUnderTest) -> None:
    daemon.api.run("host", "sleep", "1000")

    done = client("exec", "-u", "nosuch", "host", "true")

    assert done.code == 126
    assert "unable to find user nosuch: no matching entries in passwd file" in done.out


def test_what_the_client_refuses_is_125_too(client: Client) -> None:
    assert client("run", "--nosuch", "busybox").code == 125
    assert client("run", "--memory", "lots", "busybox").code == 125


def test_a_stop_is_a_term_and_after_the_grace_a_kill(client: Client) -> None:
    client.ok("run", "-d", "--name", "polite", "busybox", "sh", "-c", TRAPS)
    client.ok("run", "-d", "--name", "deaf", "--stop-timeout", "1", "busybox", "sleep", "1000")

    client.ok("stop", "polite", "deaf")

    assert client.ok("wait", "polite", "deaf") == "43\n137"


def test_a_stop_sends_the_signal_that_was_asked_for(client: Client) -> None:
    script = "trap 'exit 44' USR2; while :; do sleep 0.02; done"
    words = ("run", "-d", "--stop-signal", "USR2", "--name", "own", "busybox", "sh", "-c", script)
    client.ok(*words)

    client.ok("stop", "own")

    assert client.ok("inspect", "-f", "{{.State.ExitCode}}", "own") == "44"


def test_a_wait_ends_with_the_container(client: Client) -> None:
    client.ok("run", "-d", "--name", "brief", "busybox", "sh", "-c", "sleep 0.2; exit 4")

    assert client.ok("wait", "brief") == "4"
    assert client.ok("wait", "brief") == "4"
