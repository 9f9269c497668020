"""Test that a few hundred containers' lives leave a daemon as it was.

The short form of ``python -m tests.bench soak``.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.harness.conditions import settled
from tests.harness.daemon import DaemonUnderTest
from tests.harness.lives import Lives, remove_parents
from tests.harness.resource_usage import Gauges, read_gauges

WARM: Final = 60
LIVES: Final = 300
GROWTH_MAX_MB: Final = 12.0
"""Caches of the last thousand containers and execs are still filling: half of this, measured. A
leak of a descriptor or a task for each life, as was found before, shows in the counts.
"""
CACHES: Final = {
    "engine.drivers.cgroups.v1.V1Driver._controllers": 1_000,
    "engine.queries.waiting.Changes._last": 1_024,
    "engine.service.execs.Execs._recent": 256,
}
"""Collections that may grow up to their limits."""
ENTRIES_MAX: Final = 20
"""More entries than before in any other collection: work that is just ending."""


class Gauged(DaemonUnderTest):
    """A daemon that reports what it holds."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.harness.resource_usage", *self.arguments()]

    def gauges(self) -> Gauges:
        return read_gauges(self.api, self.pid, self.data_root)


@pytest.fixture
def gauged(place: Path) -> Iterator[Gauged]:
    try:
        with Gauged(place) as made:
            yield made.start().import_busybox()
    finally:
        remove_parents()


def counts(gauges: Gauges) -> dict[str, int]:
    return {
        "descriptors": gauges.descriptors,
        "tasks": gauges.tasks,
        "rows": gauges.rows,
    }


def test_many_containers_leave_the_daemon_as_it_was(gauged: Gauged) -> None:
    lives = Lives(gauged.api)
    lives.run(0, WARM)
    gauged.assert_settled()
    before = gauged.gauges()

    lives.run(WARM, LIVES)

    gauged.assert_settled()
    settled(lambda: grown(before, gauged.gauges()))
    after = gauged.gauges()
    assert after.memory_mb - before.memory_mb < GROWTH_MAX_MB
    assert threads_end(gauged, before)


def grown(before: Gauges, after: Gauges) -> list[str]:
    """Return what there is more of than before; names of sandboxes that the kernel dismantles are
    kept for 5 s.
    """
    was, now = counts(before), counts(after)
    return [
        *(f"{name}: {was[name]}, then {now[name]}" for name in was if now[name] > was[name]),
        *(
            f"{name}: {count} entries more"
            for name, count in entries_more(before, after)
            if count > CACHES.get(name, ENTRIES_MAX)
        ),
    ]


def entries_more(before: Gauges, after: Gauges) -> list[tuple[str, int]]:
    """Return how many entries each collection has gained."""
    return [(name, count - before.entries.get(name, 0)) for name, count in after.entries.items()]


def threads_end(gauged: Gauged, before: Gauges) -> bool:
    """True if there are no more threads than four callers need.

    Idle ones end by themselves.
    """
    return len(os.listdir(f"/proc/{gauged.pid}/task")) <= before.threads + 8  # noqa: PTH208
