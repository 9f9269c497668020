"""Measure a hundred containers on the bridge, with eight callers at once."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import quantiles
from threading import Event, local
from typing import Final, TypeVar

from tests.bench import machine
from tests.bench.machine import milliseconds
from tests.bench.raw_http import Wire
from tests.bench.sampling import Sampler
from tests.bench.subject import FOREVER, Subject

COUNT: Final = 100
CALLERS: Final = 8
LISTINGS: Final = 500
_BUSY: Final = 4

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def start_and_remove(subject: Subject) -> Iterator[Sampler]:
    """Measure the rate of create and start, the memory of a monitor while all run, and the time of
    the removal.
    """

    def sample() -> tuple[float, float, float]:
        began = time.perf_counter()
        containers = start_many(subject, COUNT)
        started_s = time.perf_counter() - began
        memory_mb = monitor_mb(subject, containers)
        began = time.perf_counter()
        remove_many(subject, containers)
        return COUNT / started_s, memory_mb, time.perf_counter() - began

    yield sample


@contextmanager
def spawn_and_end(_: Subject) -> Iterator[Sampler]:
    """Measure as many processes with namespaces of their own, network included: spawned, and killed
    together.
    """

    def sample() -> tuple[float, float, float]:
        began = time.perf_counter()
        started = [machine.spawn_isolated(*FOREVER, network=True) for _ in range(COUNT)]
        started_s = time.perf_counter() - began
        memory_mb = sum(map(machine.pss_mb, started)) / COUNT
        began = time.perf_counter()
        machine.end_isolated(*started)
        return COUNT / started_s, memory_mb, time.perf_counter() - began

    yield sample


@contextmanager
def list_while_busy(subject: Subject) -> Iterator[Sampler]:
    """Measure the list of a hundred containers, while four callers create, start, kill and remove
    others.
    """
    present = by_callers(subject, lambda wire, _: subject.create(*FOREVER, wire=wire), range(COUNT))

    def sample() -> tuple[float]:
        over = Event()
        with ThreadPoolExecutor(_BUSY) as busy:
            lives = [busy.submit(_live_and_die, subject, over) for _ in range(_BUSY)]
            wire = subject.connection()
            took = [
                milliseconds(lambda: wire.read("/containers/json?all=1")) for _ in range(LISTINGS)
            ]
            over.set()
            for life in lives:
                life.result()
        return (quantiles(took, n=100)[98],)

    yield sample
    remove_many(subject, present)


def _live_and_die(subject: Subject, over: Event) -> None:
    wire = subject.connection()
    while not over.is_set():
        container = subject.create(*FOREVER, wire=wire)
        wire.ask("POST", f"/containers/{container}/start")
        wire.ask("POST", f"/containers/{container}/kill")
        wire.ask("DELETE", f"/containers/{container}?force=1")


def start_many(subject: Subject, count: int, network: str = "bridge") -> list[str]:
    """Create and start containers, eight at a time; return their IDs."""

    def start(wire: Wire, _: int) -> str:
        container = subject.create(*FOREVER, wire=wire, HostConfig={"NetworkMode": network})
        wire.ask("POST", f"/containers/{container}/start")
        return container

    return by_callers(subject, start, range(count))


def remove_many(subject: Subject, containers: Iterable[str]) -> None:
    """Remove running containers, eight at a time."""

    def remove(wire: Wire, container: str) -> None:
        wire.ask("DELETE", f"/containers/{container}?force=1")

    by_callers(subject, remove, containers)


def by_callers(subject: Subject, work: Callable[[Wire, T], R], items: Iterable[T]) -> list[R]:
    """Run a function on all items by eight callers, each on a connection of its own."""
    of_this_caller = local()

    def on_own_connection(item: T) -> R:
        if not hasattr(of_this_caller, "wire"):
            of_this_caller.wire = subject.connection()
        return work(of_this_caller.wire, item)

    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(on_own_connection, items))


def monitor_mb(subject: Subject, containers: Iterable[str]) -> float:
    """Return the PSS of the processes between the engine and a container's first process."""
    monitors = {machine.parent(subject.pid(container)) for container in containers}
    return sum(map(machine.pss_mb, monitors)) / len(monitors)
