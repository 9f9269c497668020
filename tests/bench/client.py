"""Measure whole commands at the prompt, process and all."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench import machine
from tests.bench.sampling import Method, Sampler
from tests.bench.subject import Subject, client_environment


def docker_run(network: str) -> Method:
    """Measure ``docker run --rm busybox true`` by Docker's own client, from the start of its
    process to the end.
    """

    @contextmanager
    def method(subject: Subject) -> Iterator[Sampler]:
        name = f"{subject.mark}-run"
        arguments = ("run", "--rm", "--name", name, "--network", network, "busybox", "true")
        yield _command(subject, docker(), *arguments)

    return method


@contextmanager
def docker_version(subject: Subject) -> Iterator[Sampler]:
    """Measure ``docker version``: Docker's client with a minimal request, its share in any other
    command.
    """
    yield _command(subject, docker(), "version")


@contextmanager
def own_version(subject: Subject) -> Iterator[Sampler]:
    """Measure ``version`` by an engine's own client."""
    yield _command(subject, *subject.command, "version")


@contextmanager
def interpreter(subject: Subject) -> Iterator[Sampler]:
    """Measure a Python that starts, does nothing and ends."""
    yield _command(subject, sys.executable, "-c", "pass")


def docker() -> str:
    """Return the path of Docker's own client.

    Raises:
        FileNotFoundError: it is not installed.
    """
    found = shutil.which("docker")
    if found is None:
        raise FileNotFoundError("no docker command")
    return found


def _command(subject: Subject, *command: str) -> Sampler:
    environment = client_environment(subject.host)

    def run() -> None:
        subprocess.run(command, env=environment, check=True, capture_output=True)

    return lambda: (machine.milliseconds(run),)
