"""Run a daemon in a temporary directory, for quickstart, without touching anything else on the
machine.

    DIRECTORY/  data/  run/  shipslog.sock  daemon.log

The daemon that is killed and its successor must be in the same network and mount namespaces, so the
caller enters them first (see :func:`enter_own_namespaces`) and both inherit them. They end with the
last process.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Final, Self

import engine
from engine.cli.engine import Engine
from engine.cli.failures import Failure

READY_S: Final = 30.0
_STOP_S: Final = 30.0
_RETRY_S: Final = 0.02
_CGROUPS: Final = "/sys/fs/cgroup"
_MARK: Final = "SHIPSLOG_OWN_NAMESPACES"


def enter_own_namespaces() -> None:
    """Run this command again inside namespaces of its own; return if already there. unshare(1).

    Raises:
        Failure: not root, or no unshare.
    """
    if os.environ.get(_MARK):
        return
    if os.geteuid() != 0:
        raise Failure("quickstart makes namespaces and cgroups, which takes root: try sudo")
    unshare = shutil.which("unshare")
    if unshare is None:
        raise Failure("no unshare: install the package util-linux")
    command = [
        unshare,
        "--net",
        "--mount",
        "--propagation",
        "private",
        sys.executable,
        "-m",
        "engine.cli",
    ]
    os.execve(unshare, [*command, *sys.argv[1:]], _environment() | {_MARK: "1"})  # noqa: S606  (a list, no shell)


def _environment() -> dict[str, str]:
    """Return our environment, changed so that the package is found from any directory."""
    package = str(engine.__path__[0])
    tree = os.path.dirname(package)  # noqa: PTH120  (pathlib costs 10 ms)
    path = [tree, *filter(None, [os.environ.get("PYTHONPATH")])]
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(path)}


class OwnDaemon:
    """Starts, kills and stops ``shipslogd`` in a directory of its own, which is removed at the
    end.
    """

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="shipslog-quickstart-")
        self._cgroup_parent = f"shipslog-quickstart-{os.getpid()}"
        self.host = f"unix://{self.directory}/shipslog.sock"
        self.engine = Engine(self.host)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        _remove_cgroups(self._cgroup_parent)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Return the daemon's pid."""
        assert self._process is not None
        return self._process.pid

    @property
    def command(self) -> list[str]:
        """Return the command that starts it, as a user would type it."""
        data, run = f"{self.directory}/data", f"{self.directory}/run"
        roots = ["--data-root", data, "--exec-root", run]
        return ["shipslogd", "-H", self.host, *roots, "--cgroup-parent", self._cgroup_parent]

    def start(self) -> float:
        """Start the daemon, and wait for its first answer; return how long that took, in seconds.

        Raises:
            Failure: it ended, or does not answer within :data:`READY_S`.
        """
        began = time.monotonic()
        arguments = [sys.executable, "-m", "engine.daemon", *self.command[1:]]
        with open(self._log, "ab") as log:  # noqa: PTH123  (pathlib costs 10 ms)
            self._process = subprocess.Popen(  # noqa: S603  (ours)
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )
        while not self.answers():
            if self._process.poll() is not None:
                raise Failure(
                    f"the daemon ended with {self._process.returncode}:\n{self._last_output()}"
                )
            if time.monotonic() - began > READY_S:
                raise Failure(f"the daemon does not answer:\n{self._last_output()}")
            time.sleep(_RETRY_S)
        return time.monotonic() - began

    def answers(self) -> bool:
        """True if the daemon answers."""
        try:
            self.engine.request("GET", "/_ping").body()
        except (Failure, OSError):
            return False
        return True

    def kill(self) -> None:
        """Send SIGKILL: the daemon can neither record nor clean up anything."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL if that does not help."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
            return
        self.kill()

    @property
    def _log(self) -> str:
        return f"{self.directory}/daemon.log"

    def _last_output(self) -> str:
        with open(self._log, encoding="utf-8", errors="replace") as log:  # noqa: PTH123  (pathlib costs 10 ms)
            return "".join(log.readlines()[-15:])


def _remove_cgroups(name: str) -> None:
    """Remove the daemon's empty cgroups, in every hierarchy of version 1 and in that of version
    2.
    """
    for parent in [_CGROUPS, *(f"{_CGROUPS}/{entry}" for entry in os.listdir(_CGROUPS))]:  # noqa: PTH208  (pathlib costs 10 ms)
        for directory, _, _ in os.walk(f"{parent}/{name}", topdown=False):
            with contextlib.suppress(OSError):  # a process is still in it: leave it
                os.rmdir(directory)  # noqa: PTH106  (pathlib costs 10 ms)
