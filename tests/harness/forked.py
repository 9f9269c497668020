"""Fork a daemon from the test process: the same program, without the second for its imports.

For tests that start a hundred of them. What an interpreter does at its start is done by hand here:
the environment's failpoints are armed, standard output and error are redirected, and nothing of the
test runs on in the child.
"""

import os
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from engine import failpoints
from tests.harness import recording
from tests.harness.conditions import ended

_PYTEST_S_OWN = (signal.SIGALRM, signal.SIGINT, signal.SIGTERM)


class Forked:
    """A child process, with the needed methods of :class:`subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.returncode: int | None = None
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            self.pid = os.fork()
        if self.pid == 0:
            _become_daemon(arguments, environment, log)

    def poll(self) -> int | None:
        """Return its return code if it has ended, negative for a signal."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float = 10.0) -> int:
        """Return its return code, which must come in time."""
        if self.poll() is None:
            assert ended(os.pidfd_open(self.pid), within_s=timeout), f"{self.pid} does not end"
        code = self.poll()
        assert code is not None
        return code

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def _send(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _become_daemon(arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> NoReturn:
    code = 1
    try:
        os.setsid()
        warnings.resetwarnings()
        for number in _PYTEST_S_OWN:
            signal.signal(number, signal.SIG_DFL)
        log_fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        os.closerange(3, 4096)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
        os.environ.update(environment)
        failpoints._armed.update(failpoints._parse(os.environ.get(failpoints.VARIABLE, "")))
        recording.main(list(arguments))
        code = 0
    except SystemExit as ending:
        if isinstance(ending.code, str):
            print(ending.code, file=sys.stderr)  # noqa: T201
        else:
            code = int(ending.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)
