"""Append events one by one in a process of its own, and audit the log meanwhile if asked to.

``python -m tests.bench.auditing DIRECTORY [verify]`` prints the 99th percentile of the time until an
append was durable, in milliseconds, as JSON.
"""

import json
import statistics
import sys
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import trio

from engine.daemon.clock import KernelClock
from engine.domain.container.events import Created, Removed, RemoveRequested, Renamed
from engine.domain.container.spec import Spec
from engine.domain.event import SUPERVISOR, Origin
from engine.domain.host import HostInitialised
from engine.domain.ids import ContainerId, ImageId, InstanceId
from engine.domain.streams import HOST, container_stream
from engine.queries.history import History
from engine.store.ledger import Ledger
from engine.store.log import EventLog
from engine.store.records import Change

LIVES: Final = 10_000
"""Of four events each."""
BATCH: Final = 1_000
APPENDS: Final = 400
INTERVAL_S: Final = 0.01
_ORIGIN: Final = Origin(actor=SUPERVISOR)
_SPEC: Final = Spec(image="busybox", image_id=ImageId("sha256:" + "0" * 64))
_BOX: Final = ContainerId("f" * 64)


async def measure(ledger: Ledger, *, with_audit: bool) -> float:
    """Fill the log, then append at a steady rate; return the 99th percentile in milliseconds."""
    await ledger.record(_ORIGIN, (HOST, (HostInitialised(instance=InstanceId("f" * 32)),)))
    for first in range(0, LIVES, BATCH):
        await ledger.log.append([_life(number) for number in range(first, first + BATCH)])
    created = Created(id=_BOX, name="box", spec=_SPEC)
    await ledger.record(_ORIGIN, (container_stream(_BOX), (created,)))
    async with trio.open_nursery() as nursery:
        if with_audit:
            nursery.start_soon(_audit_for_ever, History(ledger))
        taken_ms = [await _append(ledger, number) for number in range(APPENDS)]
        nursery.cancel_scope.cancel()
    return statistics.quantiles(taken_ms, n=100)[-1]


def _life(number: int) -> Change:
    identity = ContainerId(f"{number:064x}")
    name = f"boat-{number}"
    events = (
        Created(id=identity, name=name, spec=_SPEC),
        Renamed(name=f"{name}-2", before=name),
        RemoveRequested(),
        Removed(),
    )
    return Change(container_stream(identity), 1, events, _ORIGIN, number, None)


async def _audit_for_ever(history: History) -> None:
    for _ in count():
        verdict = await history.verify()
        assert verdict.problems == (), verdict.problems


async def _append(ledger: Ledger, number: int) -> float:
    await trio.sleep(INTERVAL_S)
    event = Renamed(name=f"box-{number}", before=ledger.head.containers[_BOX].name)
    began_s = trio.current_time()
    await ledger.record(_ORIGIN, (container_stream(_BOX), (event,)))
    return (trio.current_time() - began_s) * 1000


def main(directory: str, *options: str) -> None:
    """Print the figure."""
    log = EventLog.open(Path(directory) / "shipslog.db")
    try:
        ledger = Ledger(log, KernelClock())
        print(json.dumps(trio.run(partial(measure, ledger, with_audit="verify" in options))))  # noqa: T201  (its answer)
    finally:
        log.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
