"""Start, kill and restart the daemon that is measured, and remove it at the end.

Nothing of the engine is imported here: the process that forks for the floors must stay as small as
a launcher.
"""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.domain import naming
from engine.domain.ids import InstanceId
from tests.harness.client import Api
from tests.harness.kernel_inventory import Roots, hierarchies, read_inventory

REPOSITORY: Final = Path(__file__).parent.parent.parent
GIVE_UP_S: Final = 30.0
POLL_S: Final = 0.005


def poll(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it does not.
    """
    deadline = time.monotonic() + GIVE_UP_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {GIVE_UP_S} s")
        time.sleep(POLL_S)


class Daemon:
    """One daemon, with ``data``, ``exec``, ``api.sock`` and ``log`` in a directory of its own."""

    def __init__(self, place: Path, program: str = "engine.daemon") -> None:
        self.place = place
        self._program = program
        self.api = Api(place / "api.sock")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """Return the address of its API."""
        return f"unix://{self.api.socket_path}"

    @property
    def pid(self) -> int:
        """Return its pid."""
        assert self._process is not None
        return self._process.pid

    @property
    def roots(self) -> Roots:
        """Return the paths of its kernel objects; the instance is in the first event of its log."""
        data_root = self.place / "data"
        uri = f"{naming.database(data_root).as_uri()}?mode=ro"
        first = (
            "SELECT json_extract(data, '$.instance') FROM events WHERE type = 'host_initialised'"
        )
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            (instance,) = database.execute(first).fetchone()
        return Roots(InstanceId(instance), data_root, self.place / "exec")

    def begin(self) -> None:
        """Start the process; it does not answer yet."""
        roots = ("--data-root", self.place / "data", "--exec-root", self.place / "exec")
        with (self.place / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._program, "-H", self.host, *roots],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start the daemon; return when it answers.

        Raises:
            TimeoutError: it does not.
        """
        self.begin()
        poll(self.answers)

    def answers(self) -> bool:
        """True if the API answers."""
        try:
            return self.api.request("GET", "/_ping").status == 200
        except OSError:
            return False

    def kill(self) -> None:
        """Send SIGKILL, if the daemon runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def clear(self) -> None:
        """End the daemon, and remove everything that could outlive these namespaces."""
        self.kill()
        roots = self.roots
        found = read_inventory(roots)
        for held in (found.processes, found.monitors):
            for pid in (pid for pids in held.values() for pid in pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for hierarchy in hierarchies().values():
            _remove_cgroups(hierarchy / naming.default_cgroup_parent(roots.instance))


def _remove_cgroups(parent: Path) -> None:
    for directory, _, _ in os.walk(parent, topdown=False):

        def gone(path: str = directory) -> bool:
            try:
                os.rmdir(path)  # noqa: PTH106  (os.walk gives names)
            except OSError:  # the last of its processes is still ending
                return False
            return True

        poll(gone)
