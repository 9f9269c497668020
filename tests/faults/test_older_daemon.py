"""Test that a container that an older release started goes on under this one: its monitor, journal,
bundle and database are adopted.

The older release is the tree of a commit, taken out of the repository's own history. It is run by
this interpreter.
"""

import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest

from engine.domain import naming
from engine.domain.ids import ContainerId
from tests.harness.conditions import eventually, wait_until_gone
from tests.harness.daemon import REPOSITORY, DaemonUnderTest

OLDER: Final = "f3bd4e4"
COUNTS: Final = (
    "sh",
    "-c",
    "trap 'exit 42' TERM; n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done",
)


class OlderDaemon(DaemonUnderTest):
    """A daemon of the older tree, started as users start it; this tree's daemon gets its roots
    afterwards.
    """

    def __init__(self, place: Path, tree: Path) -> None:
        super().__init__(place)
        self._tree = tree
        self._environment = {**os.environ, "PYTHONPATH": str(tree)}

    def package(self) -> Path:
        """Return the directory of this daemon's package."""
        question = (sys.executable, "-P", "-c", "import engine; print(engine.__path__[0])")
        return Path(subprocess.check_output(question, env=self._environment, text=True).strip())

    def _launch(self, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "engine.daemon", *self.arguments()],
                cwd=self._tree,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._environment, **environment},
                start_new_session=True,
            )


@pytest.fixture(scope="session")
def older_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extract the older release from history."""
    # The checkout may belong to another user than root, who runs the tests.
    trusted = ("-c", f"safe.directory={REPOSITORY}")
    archive = (
        "git",
        *trusted,
        "-C",
        str(REPOSITORY),
        "archive",
        OLDER,
        "engine",
        "migrations",
        "config",
    )
    done = subprocess.run(archive, capture_output=True, check=False)
    assert done.returncode == 0, (
        f"commit {OLDER} is needed to run an older daemon; fetch the whole history "
        f"(git fetch --unshallow): {done.stderr.decode(errors='replace')}"
    )
    tree = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as files:
        files.extractall(tree, filter="data")
    return tree


@pytest.fixture
def older(place: Path, older_tree: Path) -> Iterator[OlderDaemon]:
    with OlderDaemon(place, older_tree) as made:
        assert made.package() == older_tree / "engine"
        made.start().import_busybox()
        yield made
        made.kill()


@pytest.fixture
def newer(older: OlderDaemon) -> Iterator[DaemonUnderTest]:
    """Return this tree's daemon in the place of the older one, not started yet."""
    with DaemonUnderTest(older.place) as made:
        yield made


def numbers(daemon: DaemonUnderTest, container: str) -> list[int]:
    return [int(line) for line in daemon.api.logs(container).split()]


def test_a_container_of_an_older_daemon_goes_on_under_this_one(
    older: OlderDaemon, newer: DaemonUnderTest
) -> None:
    identity = older.api.run("lasting", *COUNTS)
    ended = older.api.run("brief", "sh", "-c", "exit 5")
    assert older.api.wait(ended) == 5
    assert older.api.exec_output(identity, "echo", "before") == (0, b"before\n")
    eventually(lambda: numbers(older, identity), "it counts")
    before = older.api.inspect(identity)
    events = [each["type"] for each in older.api.history(identity)]
    monitor = older.monitor_pid(identity)
    older.kill()
    said = len(numbers_on_disk(older, identity))

    newer.start()

    after = newer.api.inspect(identity)
    assert after["State"]["Pid"] == before["State"]["Pid"]
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert after["Created"] == before["Created"]
    assert after["RestartCount"] == 0
    eventually(lambda: len(numbers(newer, identity)) > said, "its log goes on")
    log = numbers(newer, identity)
    assert log == list(range(1, len(log) + 1)), "without a gap"
    assert newer.api.exec_output(identity, "echo", "after") == (0, b"after\n")
    assert newer.api.inspect(ended)["State"]["ExitCode"] == 5

    newer.api.stop(identity)

    assert newer.api.inspect(identity)["State"]["ExitCode"] == 42
    wait_until_gone(monitor)
    history = [each["type"] for each in newer.api.history(identity)]
    assert history[: len(events)] == events
    assert history[-1] == "container_exited"
    assert newer.api.verify()["ok"]
    newer.api.start(identity)
    assert newer.api.status(identity) == "running", "its next run is of this release"


def test_what_ended_while_no_daemon_was_there_is_read_from_an_older_monitors_journal(
    older: OlderDaemon, newer: DaemonUnderTest
) -> None:
    identity = older.api.run("leaver", *COUNTS)
    init, monitor = older.api.inspect(identity)["State"]["Pid"], older.monitor_pid(identity)
    older.kill()
    os.kill(init, signal.SIGTERM)
    wait_until_gone(monitor)

    newer.start()

    state = newer.api.inspect(identity)["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 42)
    (exited,) = newer.api.history(identity, type="container_exited")
    assert exited["actor"]["kind"] == "monitor"


def numbers_on_disk(daemon: DaemonUnderTest, container: str) -> list[bytes]:
    return naming.log_path(daemon.data_root, ContainerId(container)).read_bytes().splitlines()
