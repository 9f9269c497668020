"""Measure single requests on a connection that is kept: the cost of the API itself."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Final

from tests.bench.machine import milliseconds
from tests.bench.sampling import Method, Sampler
from tests.bench.subject import FOREVER, Subject

CALLS: Final = 200
"""Requests per sample: a single one is too short to be measured well."""
LISTED: Final = 100
_ENDS_AT_ONCE: Final = (
    "sh",
    "-c",
    "trap 'exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done",
)


def get(target: str) -> Method:
    """Measure repeated GETs; in a target ``{container}`` stands for a running one."""

    @contextmanager
    def method(subject: Subject) -> Iterator[Sampler]:
        with subject.running() as container:
            yield _repeated(subject, target.format(container=container))

    return method


@contextmanager
def listing(subject: Subject) -> Iterator[Sampler]:
    """Measure the list of containers, with a hundred of them."""
    made = [subject.create(*FOREVER) for _ in range(LISTED)]
    yield _repeated(subject, "/containers/json?all=1")
    for container in made:
        subject.remove(container)


def _repeated(subject: Subject, target: str) -> Sampler:
    """Return the median of many requests, in microseconds: request line and headers are made once,
    the answer is read to its end.
    """
    request = f"GET {target} HTTP/1.1\r\nHost: engine\r\n\r\n".encode()

    def sample() -> tuple[float]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(subject.path)
            return (median(_timed(connection, request) for _ in range(CALLS)),)

    return sample


def _timed(connection: socket.socket, request: bytes) -> float:
    began = time.perf_counter()
    connection.sendall(request)
    read_answer(connection)
    return (time.perf_counter() - began) * 1e6


def read_answer(connection: socket.socket) -> None:
    """Read one answer to its end, whether it has a length or comes in chunks."""
    answer = connection.recv(1 << 20)
    head, _, body = answer.partition(b"\r\n\r\n")
    head = head.lower()
    if b"transfer-encoding: chunked" in head:
        while not body.endswith(b"0\r\n\r\n"):
            body = body[-8:] + connection.recv(1 << 20)
        return
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    left = length - len(body)
    while left > 0:
        left -= len(connection.recv(1 << 20))


@contextmanager
def life(subject: Subject) -> Iterator[Sampler]:
    """Measure create, start, stop (of a process that obeys) and rm, each by itself."""

    def sample() -> tuple[float, ...]:
        made: list[str] = []
        host = {"NetworkMode": "bridge"}
        created = milliseconds(lambda: made.append(subject.create(*_ENDS_AT_ONCE, HostConfig=host)))
        container = made[0]
        started = milliseconds(lambda: subject.start(container))
        _ready(subject, container)
        stopped = milliseconds(lambda: subject.wire.ask("POST", f"/containers/{container}/stop"))
        removed = milliseconds(lambda: subject.wire.ask("DELETE", f"/containers/{container}"))
        return created, started, stopped, removed

    yield sample


def _ready(subject: Subject, container: str) -> None:
    """Wait until the process has set its trap: before that, the first process of a namespace
    ignores the signal.
    """
    while not subject.wire.read(f"/containers/{container}/logs?stdout=1"):
        pass
