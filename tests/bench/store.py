"""Measure the log itself, without an engine: durable events a second."""

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from tests.bench.sampling import Sampler
from tests.bench.subject import Subject

ALONE: Final = 500
GROUP: Final = 64
GROUPS: Final = 100
_ROW: Final = "x" * 400
"""About the size of an event."""


@contextmanager
def append(_: Subject) -> Iterator[Sampler]:
    """Measure decisions recorded through the ledger, each durable before its caller continues: by
    one caller; by 64 at once.

    Runs in a process of its own (``appending.py``): this one stays small, because floors fork from
    it.
    """
    with tempfile.TemporaryDirectory(prefix="shipslog-bench-") as directory:

        def sample() -> tuple[float, float]:
            place = tempfile.mkdtemp(dir=directory)
            command = [sys.executable, "-m", "tests.bench.appending", place]
            printed = subprocess.run(command, check=True, capture_output=True)
            alone, together = json.loads(printed.stdout)
            return alone, together

        yield sample


@contextmanager
def append_at_rest(_: Subject) -> Iterator[Sampler]:
    """Measure how long appends take that come one after the other, while nobody reads."""
    yield lambda: (_slowest_append_ms(),)


@contextmanager
def append_during_audit(_: Subject) -> Iterator[Sampler]:
    """Measure the same while ``verify`` reads the whole log again and again."""
    yield lambda: (_slowest_append_ms("verify"),)


def _slowest_append_ms(*options: str) -> float:
    with tempfile.TemporaryDirectory(prefix="shipslog-bench-") as directory:
        command = [sys.executable, "-m", "tests.bench.auditing", directory, *options]
        answer = subprocess.run(command, check=True, capture_output=True)
        return float(json.loads(answer.stdout))


@contextmanager
def insert(_: Subject) -> Iterator[Sampler]:
    """Measure SQLite with the engine's settings, WAL and ``synchronous=FULL``: single inserts, then
    transactions with 64.
    """
    with (
        tempfile.TemporaryDirectory(prefix="shipslog-bench-") as directory,
        closing(sqlite3.connect(Path(directory) / "db", isolation_level=None)) as database,
    ):
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, data TEXT)")

        def in_groups(of: int, count: int) -> float:
            began = time.perf_counter()
            for _ in range(count):
                database.execute("BEGIN")
                database.executemany("INSERT INTO events (data) VALUES (?)", [(_ROW,)] * of)
                database.execute("COMMIT")
            return of * count / (time.perf_counter() - began)

        yield lambda: (in_groups(1, ALONE), in_groups(GROUP, GROUPS))
