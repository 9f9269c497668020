"""Measure the memory and processor time of an idle engine."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.bench import machine
from tests.bench.crowd import COUNT, monitor_mb, remove_many, start_many
from tests.bench.sampling import Method, Sampler
from tests.bench.subject import Subject

SETTLE_S: Final = 20.0
"""How long an engine gets to finish the work of the last start, before it counts as idle: a port of
a bridge takes 15 s to its final state."""
WINDOW_S: Final = 60.0
"""Long enough for the one look at everything that the daemon takes in a minute."""
_IMPORT_AND_WAIT: Final = "import engine.daemon.__main__, sys; print(flush=True); sys.stdin.read()"


@contextmanager
def idle(subject: Subject) -> Iterator[Sampler]:
    """Measure the PSS of the process that listens at the socket, and of its children."""
    yield lambda: (sum(map(machine.pss_mb, machine.with_children(machine.peer(subject.path)))),)


@contextmanager
def imports(_: Subject) -> Iterator[Sampler]:
    """Measure the PSS of a Python that has imported what the daemon imports."""
    command = [sys.executable, "-c", _IMPORT_AND_WAIT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield lambda: (machine.pss_mb(started.pid),)
        started.kill()


def idle_cpu(running: int) -> Method:
    """Measure the processor time of the daemon and its children, with so many idle containers."""

    @contextmanager
    def method(subject: Subject) -> Iterator[Sampler]:
        containers = start_many(subject, running)
        time.sleep(SETTLE_S)
        yield lambda: (_cpu_percent(subject),)
        remove_many(subject, containers)

    return method


def _cpu_percent(subject: Subject) -> float:
    """Return the share of one processor that is used during the window."""
    pids = tuple(machine.with_children(machine.peer(subject.path)))
    before = sum(map(machine.cpu_s, pids))
    began = time.perf_counter()
    time.sleep(WINDOW_S)
    used_s = sum(map(machine.cpu_s, pids)) - before
    return 100 * used_s / (time.perf_counter() - began)


@contextmanager
def monitor(subject: Subject) -> Iterator[Sampler]:
    """Measure the mean PSS of a hundred containers' monitors."""
    containers = start_many(subject, COUNT)
    yield lambda: (monitor_mb(subject, containers),)
    remove_many(subject, containers)
