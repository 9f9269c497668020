"""Measure output and input: how fast a container may write, how fast the log is read back, how soon
a byte returns.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench import machine
from tests.bench.sampling import Sampler
from tests.bench.subject import Subject

LINE: Final = b"x" * 99 + b"\n"
LINES: Final = 800_000
LOG_MB: Final = len(LINE) * LINES / 1_000_000
ROUND_TRIPS: Final = 400
_FRAME_BYTES: Final = 8
"""Before each piece of output on a stream without a terminal: Docker's header."""


@contextmanager
def log(subject: Subject) -> Iterator[Sampler]:
    """Measure a container that prints a file of 100-byte lines, from its start to its end; then its
    log through the API.
    """
    with _lines() as lines:
        settings = {"NetworkMode": "none", "Binds": [f"{lines}:/lines:ro"]}

        def sample() -> tuple[float, float]:
            container = subject.create("cat", "/lines", HostConfig=settings)
            began = time.perf_counter()
            subject.start(container)
            subject.wire.ask("POST", f"/containers/{container}/wait")
            wrote_s = time.perf_counter() - began
            began = time.perf_counter()
            count = subject.wire.download(f"/containers/{container}/logs?stdout=1")
            read_s = time.perf_counter() - began
            subject.remove(container)
            if count < len(LINE) * LINES:
                raise RuntimeError(f"the log has only {count} bytes")
            return LOG_MB / wrote_s, LOG_MB / read_s

        yield sample


@contextmanager
def cat(_: Subject) -> Iterator[Sampler]:
    """Measure the same file through a pipe into a file by two ``cat``; and from a file through a
    pipe to us.
    """
    with _lines() as lines, tempfile.NamedTemporaryFile() as written:
        through_pipe = f"{machine.BUSYBOX} cat {lines} | cat > {written.name}"

        def sample() -> tuple[float, float]:
            write_ms = machine.milliseconds(
                lambda: subprocess.run(["sh", "-c", through_pipe], check=True)
            )
            return LOG_MB / write_ms * 1000, LOG_MB / machine.milliseconds(read) * 1000

        def read() -> None:
            command = ["cat", written.name]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as source:
                assert source.stdout is not None
                while os.read(source.stdout.fileno(), 1 << 20):
                    pass

        yield sample


@contextmanager
def _lines() -> Iterator[Path]:
    """Return a file in memory, if /dev/shm is a tmpfs."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        for _ in range(LINES // 1000):
            file.write(LINE * 1000)
        file.flush()
        yield Path(file.name)


@contextmanager
def attach(subject: Subject) -> Iterator[Sampler]:
    """Measure one byte to ``cat`` in an attached container and back; microseconds, the median of
    some hundred.
    """
    options = {"OpenStdin": True, "AttachStdin": True, "AttachStdout": True}
    with subject.running("cat", **options) as container:
        target = f"/containers/{container}/attach?stream=1&stdin=1&stdout=1"
        with subject.hijack(target) as stream:

            def once() -> None:
                stream.sendall(b"x")
                missing = _FRAME_BYTES + 1
                while missing:
                    missing -= len(stream.recv(missing))

            yield lambda: (_microseconds(once),)


@contextmanager
def echo(_: Subject) -> Iterator[Sampler]:
    """Measure one byte to ``cat`` through a pipe, and back through another."""
    command = [machine.BUSYBOX, "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        to_fd, from_fd = started.stdin.fileno(), started.stdout.fileno()

        def once() -> None:
            os.write(to_fd, b"x")
            os.read(from_fd, 1)

        yield lambda: (_microseconds(once),)
        started.kill()


def _microseconds(once: machine.Work) -> float:
    once()
    return median(machine.milliseconds(once) for _ in range(ROUND_TRIPS)) * 1000
