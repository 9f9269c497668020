"""kill -9 of the daemon: how soon it is back, what it still knows, what is untrue or left
behind.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from threading import Event, Thread
from typing import Final

from tests.bench import machine
from tests.bench.crowd import by_callers, remove_many, start_many
from tests.bench.daemon import POLL_S, poll
from tests.bench.raw_http import Refused, Wire, filtered
from tests.bench.sampling import Sampler
from tests.bench.subject import FOREVER, Subject
from tests.harness.kernel_inventory import problems

RUNNING: Final = 50
ENDED_MEANWHILE: Final = 5
"""Of those that run, how many end while nobody is there to see it: their states must be put
right.
"""
LIVES: Final = 214
EVENTS_OF_A_LIFE: Final = ("create", "start", "kill", "die", "destroy")
EVENTS: Final = LIVES * len(EVENTS_OF_A_LIFE)
LOAD_S: Final = (0.5, 1.5)
"""The daemon is killed somewhere in between."""
SETTLE_S: Final = 5.0
"""What is wrong after so long will not be put right any more."""


def answers(subject: Subject) -> bool:
    """Whether the API does; the connection of the life before is given up."""
    try:
        subject.wire.ask("GET", "/_ping")
    except (OSError, HTTPException):
        subject.wire.close()
        return False
    except ValueError:  # OK is no JSON
        return True
    return True


@contextmanager
def recovery(subject: Subject) -> Iterator[Sampler]:
    """Fifty running, kill -9, some end, start: until the API answers; until every container is
    listed as it is."""
    containers = start_many(subject, RUNNING)

    def sample() -> tuple[float, float]:
        doomed = start_many(subject, ENDED_MEANWHILE)
        pids = [subject.pid(each) for each in doomed]
        subject.daemon.kill()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        began = time.perf_counter()
        subject.daemon.begin()
        poll(lambda: answers(subject))
        answered_s = time.perf_counter() - began
        poll(lambda: _all_right(subject, set(containers)))
        right_s = time.perf_counter() - began
        remove_many(subject, doomed)
        return answered_s, right_s

    try:
        yield sample
    finally:
        remove_many(subject, containers)


def _all_right(subject: Subject, running: set[str]) -> bool:
    """Those that run are listed as running, with the process that runs; nobody else is."""
    listed = {each["Id"] for each in subject.containers() if each["State"] == "running"}
    return listed == running and all(machine.runs(subject.pid(each)) for each in running)


@contextmanager
def imports(_: Subject) -> Iterator[Sampler]:
    """A Python that imports what the daemon imports, and ends; it has no containers to be right
    about."""
    command = [sys.executable, "-c", "import engine.daemon.__main__"]
    nan = float("nan")
    yield lambda: (machine.milliseconds(lambda: subprocess.run(command, check=True)) / 1000, nan)


def restart(subject: Subject) -> None:
    """kill -9, and start."""
    subject.daemon.kill()
    subject.daemon.begin()
    poll(lambda: answers(subject))


@contextmanager
def history(subject: Subject) -> Iterator[Sampler]:
    """Lives of containers, then kill -9: the share of their events that ``/events`` still tells."""

    def live(wire: Wire, _: int) -> str:
        container = subject.create(*FOREVER, wire=wire)
        for request in ("start", "kill", "wait"):
            wire.ask("POST", f"/containers/{container}/{request}")
        wire.ask("DELETE", f"/containers/{container}")
        return container

    def sample() -> tuple[float]:
        containers = set(by_callers(subject, live, range(LIVES)))
        restart(subject)
        filters = {"type": ["container"], "event": list(EVENTS_OF_A_LIFE)}
        now = f"{time.time():.9f}"
        stream = subject.connection()
        stream.request("GET", filtered("/events", filters, since="0", until=now))
        told = stream.getresponse().read().decode().splitlines()
        known = sum(not containers.isdisjoint(line.split('"')) for line in told)
        return (100 * known / EVENTS,)

    yield sample


@contextmanager
def inconsistencies(subject: Subject) -> Iterator[Sampler]:
    """Eight callers at work, kill -9 at any moment, start: untrue states and things left behind,
    counted in the kernel."""

    def sample() -> tuple[float]:
        enough = Event()
        callers = [Thread(target=_live_and_die, args=(subject, enough)) for _ in range(8)]
        for caller in callers:
            caller.start()
        time.sleep(random.uniform(*LOAD_S))
        subject.daemon.kill()
        enough.set()
        for caller in callers:
            caller.join()
        subject.daemon.start()
        poll(lambda: answers(subject))
        found = _remaining_problems(subject)
        subject.remove_all()
        return (float(len(found) + len(_remaining_problems(subject))),)

    yield sample


def _live_and_die(subject: Subject, enough: Event) -> None:
    """A caller who takes no answer for an answer and goes on; but not when the engine is gone."""
    wire = subject.connection()
    while not enough.is_set():
        with suppress(OSError, HTTPException, Refused):
            settings = {"NetworkMode": random.choice(("bridge", "none"))}
            container = subject.create(*FOREVER, wire=wire, HostConfig=settings)
            wire.ask("POST", f"/containers/{container}/start")
            if random.random() < 0.7:
                wire.ask("DELETE", f"/containers/{container}?force=1")
            continue
        wire.close()
        enough.wait(POLL_S)


def _remaining_problems(subject: Subject) -> list[str]:
    deadline = time.monotonic() + SETTLE_S
    while True:
        found = problems(subject.daemon.roots, subject.daemon.api)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(POLL_S)
