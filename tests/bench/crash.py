"""Kill the daemon with SIGKILL and measure recovery: how long it takes, what the daemon still
knows, and what is wrong or left behind.
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
"""How many running containers end while the daemon is down; their states must be corrected."""
LIVES: Final = 214
EVENTS_OF_A_LIFE: Final = ("create", "start", "kill", "die", "destroy")
EVENTS: Final = LIVES * len(EVENTS_OF_A_LIFE)
LOAD_S: Final = (0.5, 1.5)
"""The daemon is killed at a random time between these."""
SETTLE_S: Final = 5.0
"""After this time, a wrong state counts as permanent."""


def answers(subject: Subject) -> bool:
    """True if the API answers; uses a new connection."""
    try:
        subject.wire.ask("GET", "/_ping")
    except (OSError, HTTPException):
        subject.wire.close()
        return False
    except ValueError:  # OK is not JSON
        return True
    return True


@contextmanager
def recovery(subject: Subject) -> Iterator[Sampler]:
    """Measure recovery with fifty running containers, of which some end while the daemon is down:
    until the API answers, and until every container is listed correctly.
    """
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
    """True if exactly the running containers are listed as running, with their processes."""
    listed = {each["Id"] for each in subject.containers() if each["State"] == "running"}
    return listed == running and all(machine.runs(subject.pid(each)) for each in running)


@contextmanager
def imports(_: Subject) -> Iterator[Sampler]:
    """Measure a Python that imports what the daemon imports, and ends; it has no containers to
    correct.
    """
    command = [sys.executable, "-c", "import engine.daemon.__main__"]
    nan = float("nan")
    yield lambda: (machine.milliseconds(lambda: subprocess.run(command, check=True)) / 1000, nan)


def restart(subject: Subject) -> None:
    """Kill the daemon with SIGKILL, and start it."""
    subject.daemon.kill()
    subject.daemon.begin()
    poll(lambda: answers(subject))


@contextmanager
def history(subject: Subject) -> Iterator[Sampler]:
    """Measure the share of events that ``/events`` still has after containers' lives and a
    SIGKILL.
    """

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
        printed = stream.getresponse().read().decode().splitlines()
        known = sum(not containers.isdisjoint(line.split('"')) for line in printed)
        return (100 * known / EVENTS,)

    yield sample


@contextmanager
def inconsistencies(subject: Subject) -> Iterator[Sampler]:
    """Count wrong states and left-over objects in the kernel after eight callers at work, a SIGKILL
    at any moment, and a start.
    """

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
    """Create and remove containers until the event is set; ignore failed requests, and end when the
    engine is gone.
    """
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
