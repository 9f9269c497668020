"""Measure networks: the cost of a bridge at a start, joining, names, published ports, and of the
n-th container or port.
"""

import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Final

from tests.bench import machine
from tests.bench.crowd import remove_many, start_many
from tests.bench.machine import milliseconds
from tests.bench.sampling import Method, Sampler
from tests.bench.subject import FOREVER, Subject

RESOLVER: Final = ("127.0.0.11", 53)
QUERIES: Final = 2_000
WINDOW: Final = 16
"""Concurrent queries for the measurement of the rate."""
_A_QUERY: Final = struct.pack(">HHHHHH", 0, 0x0100, 1, 0, 0, 0) + b"\x03web\x00\x00\x01\x00\x01"
PORT: Final = 8000
BLOCK: Final = 1 << 18
TRANSFER_BYTES: Final = 256 << 20
ROUND_TRIPS: Final = 2_000
FIRST_PORT: Final = 20_000
COUNTS: Final = (10, 100, 500)
"""How many containers or ports exist while one more is added."""


@contextmanager
def network(subject: Subject) -> Iterator[str]:
    """Create a network for the block; yield its ID."""
    created = subject.wire.ask(
        "POST", "/networks/create", {"Name": f"{subject.mark}-{secrets.token_hex(4)}"}
    )
    identity: str = created["Id"]
    try:
        yield identity
    finally:
        subject.wire.ask("DELETE", f"/networks/{identity}")


@contextmanager
def start_on_each(subject: Subject) -> Iterator[Sampler]:
    """Measure starts in turn: without a network, on the default one, on a user-defined one; the
    last two as differences from the first.
    """
    with network(subject) as made:

        def sample() -> tuple[float, float, float]:
            without, default, own = (
                median(_start_ms(subject, mode) for _ in range(3))
                for mode in ("none", "bridge", made)
            )
            return without, default - without, own - without

        yield sample


def _start_ms(subject: Subject, mode: str, **body: object) -> float:
    container = subject.create(*FOREVER, HostConfig={"NetworkMode": mode, **body})
    try:
        return milliseconds(lambda: subject.start(container))
    finally:
        subject.remove(container)


@contextmanager
def connect(subject: Subject) -> Iterator[Sampler]:
    """Measure connecting a running container to one more network, and disconnecting it."""
    with network(subject) as made, subject.running(HostConfig={"NetworkMode": "bridge"}) as joined:

        def sample() -> tuple[float, float]:
            body = {"Container": joined}
            return (
                milliseconds(lambda: subject.wire.ask("POST", f"/networks/{made}/connect", body)),
                milliseconds(
                    lambda: subject.wire.ask("POST", f"/networks/{made}/disconnect", body)
                ),
            )

        yield sample


@contextmanager
def names(subject: Subject) -> Iterator[Sampler]:
    """Measure lookups of a neighbour's address from inside a container: one at a time, and many at
    once.
    """
    with ExitStack() as stack:
        made = stack.enter_context(network(subject))
        place = {"NetworkingConfig": {"EndpointsConfig": {made: {"Aliases": ["web"]}}}}
        stack.enter_context(subject.running(HostConfig={"NetworkMode": made}, **place))
        asking = stack.enter_context(subject.running(HostConfig={"NetworkMode": made}))
        client = machine.inside_network(
            subject.pid(asking), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        )
        stack.enter_context(client)
        client.settimeout(5)
        client.connect(RESOLVER)

        def sample() -> tuple[float, float]:
            return _round_trip_us(client), _rate(client)

        yield sample


def _round_trip_us(client: socket.socket) -> float:
    took = []
    for _ in range(QUERIES):
        began = time.perf_counter()
        client.send(_A_QUERY)
        client.recv(512)
        took.append((time.perf_counter() - began) * 1e6)
    return median(took)


def _rate(client: socket.socket) -> float:
    began = time.perf_counter()
    for _ in range(WINDOW):
        client.send(_A_QUERY)
    for _ in range(QUERIES - WINDOW):
        client.recv(512)
        client.send(_A_QUERY)
    for _ in range(WINDOW):
        client.recv(512)
    return QUERIES / (time.perf_counter() - began)


@contextmanager
def published_port(subject: Subject) -> Iterator[Sampler]:
    """Measure TCP from the host to a server in a container: at its own address, and at the host's
    port.
    """
    ports = {f"{PORT}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(PORT)}]}
    settings = {"NetworkMode": "bridge", "PortBindings": ports}
    with subject.running(HostConfig=settings) as container:
        own = subject.inspect(container)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        listener = machine.inside_network(
            subject.pid(container), lambda: socket.create_server(("0.0.0.0", PORT))
        )
        with listener, _serving(listener):

            def sample() -> tuple[float, ...]:
                bare, published = (own, PORT), ("127.0.0.1", PORT)
                return (
                    _transfer_mb_s(bare),
                    _transfer_mb_s(published),
                    _echo_us(bare),
                    _echo_us(published),
                )

            yield sample


@contextmanager
def _serving(listener: socket.socket) -> Iterator[None]:
    """Serve connections; the first byte of each says whether the rest is discarded (``s``) or
    echoed (``e``).
    """
    thread = threading.Thread(target=_serve, args=(listener,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # shut down
            return
        with connection:
            echoes = connection.recv(1) == b"e"
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while block := connection.recv(BLOCK):
                if echoes:
                    connection.sendall(block)
            connection.sendall(b".")


def _transfer_mb_s(target: tuple[str, int]) -> float:
    block = bytes(BLOCK)
    with socket.create_connection(target) as connection:
        connection.sendall(b"s")
        began = time.perf_counter()
        for _ in range(TRANSFER_BYTES // BLOCK):
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        return TRANSFER_BYTES / (time.perf_counter() - began) / 1e6


def _echo_us(target: tuple[str, int]) -> float:
    with socket.create_connection(target) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"e")
        took = []
        for _ in range(ROUND_TRIPS):
            began = time.perf_counter()
            connection.sendall(b".")
            connection.recv(1)
            took.append((time.perf_counter() - began) * 1e6)
        return median(took)


def nth_container(counts: tuple[int, ...]) -> Method:
    """Measure start and removal of one more container on a bridge with many."""

    def one_more(subject: Subject) -> float:
        return _start_ms(subject, "bridge")

    return _growing(counts, lambda subject, count: start_many(subject, count), one_more)


def nth_port(counts: tuple[int, ...]) -> Method:
    """Measure the start of a container with one more published port, when many are published
    already.
    """

    def publish(subject: Subject, count: int) -> list[str]:
        first = FIRST_PORT + count * 2  # no two groups share a port
        bindings = {
            f"{number + 1}/tcp": [{"HostPort": str(first + number)}] for number in range(count)
        }
        settings = {"NetworkMode": "bridge", "PortBindings": bindings}
        container = subject.create(*FOREVER, HostConfig=settings)
        subject.start(container)
        return [container]

    def one_more(subject: Subject) -> float:
        bindings = {"80/tcp": [{"HostPort": str(FIRST_PORT - 1)}]}
        return _start_ms(subject, "bridge", PortBindings=bindings)

    return _growing(counts, publish, one_more)


def _growing(
    counts: tuple[int, ...],
    add: Callable[[Subject, int], list[str]],
    one_more: Callable[[Subject], float],
) -> Method:
    """Measure the cost of one more at each of the counts, one after the other in each sample, so
    that noise affects all alike.
    """

    @contextmanager
    def method(subject: Subject) -> Iterator[Sampler]:
        def sample() -> tuple[float, ...]:
            present: list[str] = []
            took = []
            for before, count in zip((0, *counts), counts, strict=False):
                present += add(subject, count - before)
                took.append(median(one_more(subject) for _ in range(9)))
            remove_many(subject, present)
            return tuple(took)

        yield sample

    return method
