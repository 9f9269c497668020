"""What the engine keeps while nothing runs."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.bench import machine
from tests.bench.sampling import Sampler
from tests.bench.subject import Subject

_IMPORT_AND_WAIT: Final = "import engine.daemon.__main__, sys; print(flush=True); sys.stdin.read()"


@contextmanager
def idle(subject: Subject) -> Iterator[Sampler]:
    """PSS of whoever listens at the socket, and of its children."""
    yield lambda: (sum(map(machine.pss_mb, machine.with_children(machine.peer(subject.path)))),)


@contextmanager
def imports(_: Subject) -> Iterator[Sampler]:
    """PSS of a Python that has imported what the daemon imports and has done nothing."""
    command = [sys.executable, "-c", _IMPORT_AND_WAIT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield lambda: (machine.pss_mb(started.pid),)
        started.kill()
