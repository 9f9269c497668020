"""Read what a daemon holds: memory, descriptors, threads, tasks, rows of live state, and entries.

    python -m tests.harness.resource_usage [OPTION OF SHIPSLOGD]...

runs ``shipslogd`` with one more path, which counts trio's tasks and the entries of every collection
that belongs to the engine. The engine is not changed: the application is wrapped where the daemon
would call it, and objects are found by the garbage collector.
"""

import contextlib
import gc
import json
import os
import sqlite3
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from engine.api.application import application
from engine.api.http.http11 import Application
from engine.api.http.replies import JSON, Answer, Reply
from engine.api.http.requests import Request
from engine.daemon import __main__ as shipslogd
from engine.domain import naming
from engine.service.engine import Service
from tests.harness.client import Api

PATH: Final = "/_gauges"
_COLLECTIONS: Final = (dict, set, list, deque, OrderedDict)
_BYTES_PER_MB: Final = 1e6


@dataclass(frozen=True, slots=True)
class Gauges:
    """What a daemon holds at one moment."""

    memory_mb: float
    """PSS of the daemon's process, after a garbage collection."""
    descriptors: int
    threads: int
    tasks: int
    rows: int
    """In the table of live state."""
    entries: dict[str, int]
    """In each collection that an object of the engine holds, by class and attribute, summed over
    all objects.
    """


def with_gauges(wrapped: Application) -> Application:
    """Wrap an application so that it also answers :data:`PATH`."""

    async def answer(request: Request) -> Reply:
        if request.target != PATH:
            return await wrapped(request)
        await trio.lowlevel.checkpoint()
        gc.collect()
        tasks = trio.lowlevel.current_statistics().tasks_living
        body = {"tasks": tasks, "entries": dict(_entries())}
        return Answer(200, json.dumps(body).encode(), JSON)

    return answer


def _entries() -> Counter[str]:
    """Count the entries of objects.

    The collector doesn't see frozen objects, so they are thawed first.
    """
    gc.unfreeze()
    counted: Counter[str] = Counter()
    for each in gc.get_objects():
        kind = type(each)
        if str(kind.__module__).startswith("engine."):
            for name, value in _attributes(each):
                if isinstance(value, _COLLECTIONS):
                    counted[f"{kind.__module__}.{kind.__qualname__}.{name}"] += len(value)
    return counted


def _attributes(each: object) -> Iterator[tuple[str, object]]:
    if isinstance(each, type):
        return
    yield from getattr(each, "__dict__", {}).items()
    for kind in type(each).__mro__:
        for name in getattr(kind, "__slots__", ()):
            with contextlib.suppress(AttributeError):
                yield name, getattr(each, name)


def read_gauges(api: Api, pid: int, data_root: Path) -> Gauges:
    """Read all gauges of a daemon that was started with :func:`with_gauges`."""
    own = api.get(PATH)
    return Gauges(
        memory_mb=_pss_mb(pid),
        descriptors=len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208  (a number of names)
        threads=len(os.listdir(f"/proc/{pid}/task")),  # noqa: PTH208
        tasks=own["tasks"],
        rows=_rows(data_root),
        entries={name: count for name, count in own["entries"].items() if count},
    )


def _pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / _BYTES_PER_MB
    return 0.0


def _rows(data_root: Path) -> int:
    uri = f"{naming.database(data_root).as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
        (count,) = database.execute("SELECT count(*) FROM aggregates").fetchone()
    return int(count)


def main(options: list[str]) -> None:
    """Run shipslogd, with gauges."""

    def gauged(service: Service) -> Application:
        return with_gauges(application(service))

    vars(shipslogd)["application"] = gauged
    sys.argv = ["shipslogd", *options]
    shipslogd.main()


if __name__ == "__main__":
    main(sys.argv[1:])
