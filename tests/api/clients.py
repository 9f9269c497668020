"""Run the commands ``docker`` and ``shipslog`` against a real daemon."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.harness.daemon import REPOSITORY
from tests.timeouts import patient

TIMEOUT_S: Final = 20.0
DOCKER: Final = "docker"
SHIPSLOG: Final = "shipslog"
BOTH: Final = (DOCKER, SHIPSLOG)


@dataclass(frozen=True, slots=True)
class Done:
    """A command's exit code and output."""

    code: int
    raw_out: bytes
    raw_err: bytes

    @property
    def out(self) -> str:
        return self.raw_out.decode(errors="replace")

    @property
    def err(self) -> str:
        return self.raw_err.decode(errors="replace")

    @property
    def line(self) -> str:
        """Return the output, which must be one line."""
        return self.out.removesuffix("\n")


class Client:
    """One of the two commands, with the address of a daemon's socket.

    Attributes:
        name: its own name in its messages.
        words: how it is started.
        environment: all of its environment, without the developer's Docker configuration.
    """

    def __init__(self, name: str, socket_path: Path) -> None:
        self.name = name
        self.words = [_docker()] if name == DOCKER else [sys.executable, "-m", "engine.cli"]
        self.environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(socket_path.parent),
            "TERM": "xterm",
            "DOCKER_HOST": f"unix://{socket_path}",
        }

    def __call__(self, *words: str, given: bytes = b"", **environment: str) -> Done:
        """Run a command to its end, whatever its exit code."""
        with self.started(*words, **environment) as process:
            out, err = process.communicate(given, timeout=patient(TIMEOUT_S))
            return Done(process.returncode, out, err)

    def ok(self, *words: str, given: bytes = b"", **environment: str) -> str:
        """Run a command that must succeed; return its output without the last line's end."""
        done = self(*words, given=given, **environment)
        assert done.code == 0, f"{self.name} {' '.join(words)}: {done}"
        return done.line

    @contextmanager
    def started(self, *words: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command for the block, and kill it at the end if it still runs."""
        process = subprocess.Popen(
            [*self.words, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=REPOSITORY,
            env=self.environment | environment,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()


def _docker() -> str:
    found = shutil.which(DOCKER)
    if found is None:
        pytest.skip("needs the docker command: config/run tests unpacks it")
    return found
