"""Test ``docker`` at a keyboard: what is drawn, what the keys do, and what is left when the client
ends.
"""

import hashlib
import io
import signal
import tarfile
from typing import Final

import pytest

from tests.api.clients import Client
from tests.api.terminals import COLUMNS, ROWS, Terminal
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest
from tests.timeouts import patient

pytestmark = pytest.mark.root

SHELL: Final = ("busybox", "sh")
CTRL_C, CTRL_D, CTRL_P_CTRL_Q, CTRL_Z = "\x03", "\x04", "\x10\x11", "\x1a"
PIPED_BYTES: Final = 50 << 20


def commands(daemon: DaemonUnderTest, container: str) -> list[str]:
    """Return what runs in a container, as ``ps`` shows it."""
    return [row[-1] for row in daemon.api.get(f"/containers/{container}/top")["Processes"]]


def attached(daemon: DaemonUnderTest, container: str) -> int:
    """Return how many clients have attached, according to the history."""
    return len(daemon.api.history(container, type="container_attach_opened"))


def test_a_window_has_its_size_before_the_first_command(docker: Client) -> None:
    """The container's first process asks at once, and the client sends it after the start: so the
    shell waits for a size.
    """
    with Terminal(docker, "run", "-it", "--rm", *SHELL) as terminal:
        terminal.until("/ # ")
        assert terminal.asks("stty size") == f"{ROWS} {COLUMNS}"
        terminal.type(CTRL_D)
        assert terminal.ends() == 0


def test_an_exec_has_job_control_and_its_own_detach_keys(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    daemon.api.run("host", "sleep", "1000")

    with Terminal(docker, "exec", "-it", "--detach-keys", "ctrl-x,x", "host", "sh") as terminal:
        terminal.until("/ # ")
        terminal.type("cat\n")
        eventually(lambda: "cat" in commands(daemon, "host"), "the job runs", catch=Refused)
        terminal.type("echoed\n")
        terminal.until("\r\nechoed\r\nechoed\r\n")
        terminal.type(CTRL_Z)
        terminal.until("Stopped")
        terminal.until("# ")
        terminal.type("fg\n")
        terminal.until("\r\ncat\r\n")
        terminal.type(CTRL_C)
        terminal.until("# ")
        assert terminal.asks("echo $?") == "130"
        terminal.type("\x18x")

        assert terminal.ends() == 1  # as Docker's: its outcome is unknown
        assert terminal.is_as_before
    assert commands(daemon, "host") == ["sleep 1000", "sh"]


def test_two_at_one_terminal_see_the_same_and_one_may_leave(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    docker.ok("run", "-dit", "--name", "shared", *SHELL)

    with (
        Terminal(docker, "attach", "shared") as one,
        Terminal(docker, "attach", "--detach-keys", "ctrl-x,x", "shared") as two,
    ):
        eventually(lambda: attached(daemon, "shared") == 2, "both are attached")
        one.await_raw()
        two.await_raw()
        one.type("echo o'n'e\n")
        one.until("\r\none\r\n")
        two.until("\r\none\r\n")
        two.type("\x18x")
        two.until("read escape sequence")
        assert two.ends() == 1  # as Docker's
        assert two.is_as_before

        one.until("# ")
        assert one.asks("echo st'il'l") == "still"
        one.type("exit 4\n")
        assert one.ends() == 4
    assert daemon.api.status("shared") == "exited"


def test_attaching_without_input_only_reads_output(docker: Client, daemon: DaemonUnderTest) -> None:
    docker.ok("run", "-dit", "--name", "shared", *SHELL)

    with (
        Terminal(docker, "attach", "--no-stdin", "shared") as watches,
        Terminal(docker, "attach", "shared") as types,
    ):
        eventually(lambda: attached(daemon, "shared") == 2, "both are attached")
        types.await_raw()
        watches.type("exit 9\n")
        types.type("echo s'ee'n\n")
        types.until("\r\nseen\r\n")
        watches.until("seen\r\r\n")  # its own terminal is not raw, and adds a return to each line
        types.type("exit 3\n")

        assert (types.ends(), watches.ends()) == (3, 3)


def test_ctrl_c_reaches_a_container_without_a_terminal_unless_signals_are_kept(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    """A client that keeps its signals ends at the third."""
    script = "trap 'exit 5' INT; while :; do echo ready; sleep 0.05; done"
    with Terminal(docker, "run", "--name", "trap", "busybox", "sh", "-c", script) as terminal:
        terminal.until("ready")
        terminal.type(CTRL_C)
        assert terminal.ends() == 5

    docker.ok("start", "trap")
    with Terminal(docker, "attach", "--sig-proxy=false", "trap") as terminal:
        for _ in range(3):
            terminal.until("ready")
            terminal.type(CTRL_C)
            terminal.until("^C")
        assert terminal.ends() == 1
    assert daemon.api.status("trap") == "running"


def test_a_made_container_is_started_with_its_terminal_and_left_by_other_keys(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    docker.ok("create", "-it", "--name", "later", *SHELL)

    with Terminal(docker, "start", "-ai", "--detach-keys", "ctrl-x,x", "later") as terminal:
        terminal.until("/ # ")
        assert terminal.asks("stty size") == f"{ROWS} {COLUMNS}"
        terminal.type("\x18x")
        assert terminal.ends() == 0
    assert daemon.api.status("later") == "running"


def test_usage_is_drawn_again_and_again_until_ctrl_c(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    daemon.api.run("web", "sleep", "1000")

    with Terminal(docker, "stats") as terminal:
        terminal.until("CONTAINER ID")
        terminal.until("web")
        terminal.until("\x1b[H")  # home: the next screen is drawn over the last
        terminal.until("web")
        terminal.type(CTRL_C)
        assert terminal.ends() in (0, 130)
    assert daemon.api.status("web") == "running"


@pytest.mark.parametrize(
    ("words", "seen"),
    [(("events", "--since", "1"), "container start"), (("logs", "-f", "says"), "said")],
)
def test_what_is_followed_is_left_by_ctrl_c(
    words: tuple[str, ...], seen: str, docker: Client, daemon: DaemonUnderTest
) -> None:
    daemon.api.run("says", "sh", "-c", "echo said; sleep 1000")

    with Terminal(docker, *words) as terminal:
        terminal.until(seen)
        terminal.type(CTRL_C)
        assert terminal.ends() in (0, 130, -signal.SIGINT)
    assert daemon.api.status("says") == "running"


def test_a_container_with_rm_is_removed_although_its_client_was_killed(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    """``--rm`` is the daemon's duty, not the client's."""
    with Terminal(docker, "run", "--rm", "-it", "--name", "left", *SHELL) as terminal:
        terminal.until("/ # ")
        terminal.signal(signal.SIGKILL)
        terminal.ends()
    # The prompt may be seen before the start is recorded.
    eventually(lambda: daemon.api.status("left") == "running", "it goes on")

    docker.ok("kill", "left")

    eventually(lambda: daemon.api.ps() == [], "it is removed")


def test_a_long_pipe_goes_through_as_it_is(docker: Client) -> None:
    """Input that does not fit into any buffer, and whose end is the program's end."""
    block = bytes(range(256)) * 4096
    wanted = hashlib.sha256()
    with docker.started("run", "-i", "--rm", "busybox", "sha256sum") as process:
        assert process.stdin is not None
        for _ in range(PIPED_BYTES // len(block)):
            process.stdin.write(block)
            wanted.update(block)
        out, _ = process.communicate(timeout=patient(60))

    assert out.decode().split() == [wanted.hexdigest(), "-"]


def test_tars_are_copied_through_pipes_in_both_directions(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    daemon.api.run("web", "sleep", "1000")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo("d/said")
        entry.size, entry.uid = 5, 7
        archive.addfile(entry, io.BytesIO(b"hello"))

    docker.ok("cp", "--archive", "-", "web:/tmp", given=tar.getvalue())

    assert docker.ok("exec", "web", "stat", "-c", "%u %s", "/tmp/d/said") == "7 5"
    back = docker("cp", "web:/tmp/d", "-").raw_out
    with tarfile.open(fileobj=io.BytesIO(back)) as archive:
        assert [(each.name, each.uid) for each in archive] == [("d", 0), ("d/said", 7)]
    broken = docker("cp", "-", "web:/tmp", given=b"no tar")
    assert (broken.code, "invalid tar" in broken.err) == (1, True)
    assert docker("cp", "-", "web:/tmp/d/said", given=tar.getvalue()).code == 1


def test_a_tar_is_not_drawn_on_a_terminal(docker: Client, daemon: DaemonUnderTest) -> None:
    daemon.api.run("web", "sleep", "1000")

    for words in (("export", "web"), ("save", "busybox")):
        with Terminal(docker, *words) as terminal:
            terminal.until("a terminal")
            assert terminal.ends() == 1
