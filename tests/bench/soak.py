"""Run thousands of containers' lives, and check that the daemon holds no more than before.

``python -m tests.bench soak [--lives N]``
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.daemon import Daemon
from tests.harness.conditions import settled
from tests.harness.lives import Lives, remove_parents
from tests.harness.resource_usage import Gauges, read_gauges

LIVES: Final = 20_000
WARM: Final = 1_000
"""Number of lives after which memory should not grow any more."""
STEP: Final = 1_000
GROWTH_MAX_MB: Final = 2.0
SETTLE_S: Final = 20.0
BASE_THREADS: Final = 4
"""Threads of an idle daemon: the event loop's, the log writer's, and those of its sweep."""
HEADING: Final = (
    f"{'lives':>7}{'memory MB':>11}{'descriptors':>13}{'threads':>9}{'tasks':>7}{'rows':>6}"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """The gauges after a number of lives."""

    lives: int
    gauges: Gauges

    def __str__(self) -> str:
        each = self.gauges
        return (
            f"{self.lives:>7}{each.memory_mb:>11.2f}{each.descriptors:>13}"
            f"{each.threads:>9}{each.tasks:>7}{each.rows:>6}"
        )


def soak(daemon: Daemon, lives: int, step: int = STEP) -> Iterator[Reading]:
    """Yield a reading before, and after each step of lives."""
    with _parents():
        yield Reading(0, _read(daemon))
        for first in range(0, lives, step):
            count = min(step, lives - first)
            Lives(daemon.api).run(first, count)
            yield Reading(first + count, _read(daemon))
        _let_threads_end(daemon)
        yield Reading(lives, _read(daemon))


def _let_threads_end(daemon: Daemon) -> None:
    """Wait until the threads of the last effects have ended.

    trio keeps an idle thread for ten seconds, for reuse.
    """
    deadline = time.monotonic() + SETTLE_S
    while len(list(Path(f"/proc/{daemon.pid}/task").iterdir())) > BASE_THREADS:
        if time.monotonic() > deadline:
            return
        time.sleep(0.5)


@contextmanager
def _parents() -> Iterator[None]:
    try:
        yield
    finally:
        remove_parents()


def _read(daemon: Daemon) -> Gauges:
    """Read the gauges once the work of the last lives is done.

    That is when the descriptors stay the same from one look to the next.
    """
    seen: list[Gauges] = []

    def changing() -> list[str]:
        seen.append(read_gauges(daemon.api, daemon.pid, daemon.place / "data"))
        now, before = seen[-1], seen[-2] if len(seen) > 1 else None
        same = before and _counts(now) == _counts(before)
        return [] if same else ["still changing"]

    settled(changing)
    return seen[-1]


def _counts(gauges: Gauges) -> tuple[int, int, int, int]:
    return gauges.descriptors, gauges.threads, gauges.tasks, gauges.rows


def verdict(readings: Sequence[Reading]) -> Iterator[str]:
    """Yield what has grown since the first WARM lives, which fill pools and caches; nothing is
    good.
    """
    warm = [each for each in readings if each.lives >= WARM] or readings
    before, after = warm[0].gauges, warm[-1].gauges
    for name in ("descriptors", "threads", "tasks", "rows"):
        was, now = getattr(before, name), getattr(after, name)
        if now > was:
            yield f"{name}: {was} after {warm[0].lives} lives, {now} at the end"
    if after.memory_mb - before.memory_mb > GROWTH_MAX_MB:
        yield f"memory: {after.memory_mb - before.memory_mb:+.2f} MB since {warm[0].lives} lives"


def growth(before: Gauges, after: Gauges) -> dict[str, int]:
    """Return which collections have more entries than before, and how many more.

    Shows where to look when memory grows.
    """
    names = before.entries.keys() | after.entries.keys()
    grown = {name: after.entries.get(name, 0) - before.entries.get(name, 0) for name in names}
    return {name: more for name, more in sorted(grown.items()) if more > 0}
