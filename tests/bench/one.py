"""Measure one container with one caller, through the socket: each step of its life."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.bench import machine
from tests.bench.machine import milliseconds
from tests.bench.sampling import Method, Sampler
from tests.bench.subject import FOREVER, Subject

_FILES_OF_A_CONTAINER: Final = 12
"""About as many files as a removal deletes: the log, a journal, three files for /etc, the bundle's,
without directories.
"""


def create_and_start(network: str) -> Method:
    """Measure create and start; the second is answered when the container's process runs."""

    @contextmanager
    def method(subject: Subject) -> Iterator[Sampler]:
        def sample() -> tuple[float]:
            made: list[str] = []
            settings = {"NetworkMode": network}

            def both() -> None:
                made.append(subject.create(*FOREVER, HostConfig=settings))
                subject.start(made[0])

            took = milliseconds(both)
            subject.remove(made[0])
            return (took,)

        yield sample

    return method


@contextmanager
def spawn(_: Subject) -> Iterator[Sampler]:
    """Measure fork, unshare (pid, mount, uts, ipc), fork and execve from a small process."""

    def sample() -> tuple[float]:
        started: list[int] = []
        took = milliseconds(lambda: started.append(machine.spawn_isolated(*FOREVER)))
        machine.end_isolated(*started)
        return (took,)

    yield sample


@contextmanager
def exec_true(subject: Subject) -> Iterator[Sampler]:
    """Measure ``true`` inside a running container: create, start attached until the stream ends,
    ask for the exit code.
    """
    with subject.running() as container:

        def run() -> None:
            body = {"Cmd": ["true"], "AttachStdout": True, "AttachStderr": True}
            created = subject.wire.ask("POST", f"/containers/{container}/exec", body)
            stream = subject.hijack(f"/exec/{created['Id']}/start", {"Detach": False})
            with stream:
                while stream.recv(4096):
                    pass
            ended = subject.wire.ask("GET", f"/exec/{created['Id']}/json")
            if ended["Running"] or ended["ExitCode"] != 0:
                raise RuntimeError(f"exec of true: {ended}")

        yield lambda: (milliseconds(run),)


@contextmanager
def join(subject: Subject) -> Iterator[Sampler]:
    """Measure fork, setns, fork, execve and wait, by hand, in a running container."""
    with subject.running() as container:
        pid = subject.pid(container)
        yield lambda: (milliseconds(lambda: machine.join_and_run(pid, "true")),)


@contextmanager
def kill_and_remove(subject: Subject) -> Iterator[Sampler]:
    """Measure SIGKILL until the engine says exited; then the removal."""

    def sample() -> tuple[float, float]:
        container = subject.create(*FOREVER)
        subject.start(container)
        killed = milliseconds(lambda: subject.kill(container))
        removed = milliseconds(lambda: subject.wire.ask("DELETE", f"/containers/{container}"))
        return killed, removed

    yield sample


@contextmanager
def end_and_clear(_: Subject) -> Iterator[Sampler]:
    """Measure SIGKILL to the first process of a PID namespace until it is reaped, and the removal
    of a directory with a dozen files.
    """

    def sample() -> tuple[float, float]:
        started = machine.spawn_isolated(*FOREVER)
        place = Path(tempfile.mkdtemp(prefix="shipslog-bench-"))
        for number in range(_FILES_OF_A_CONTAINER):
            (place / str(number)).mkdir()
            (place / str(number) / "file").write_text("something\n")
        return (
            milliseconds(lambda: machine.end_isolated(started)),
            milliseconds(lambda: shutil.rmtree(place)),
        )

    yield sample
