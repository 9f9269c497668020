"""Fill a ledger in a process of its own: ``python -m tests.bench.appending DIRECTORY`` prints two
rates, events a second, as JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Final

import trio

from engine.daemon.clock import KernelClock
from engine.domain.container.events import Created, Renamed
from engine.domain.container.spec import Spec
from engine.domain.event import SUPERVISOR, Origin
from engine.domain.ids import ContainerId, ImageId
from engine.domain.streams import container_stream
from engine.store.ledger import Ledger
from engine.store.log import EventLog
from tests.bench.store import ALONE, GROUP, GROUPS

_ORIGIN: Final = Origin(actor=SUPERVISOR)
_SPEC: Final = Spec(
    image="busybox", image_id=ImageId("sha256:" + "0" * 64), command=("sleep", "1000")
)


async def fill(ledger: Ledger) -> tuple[float, float]:
    """Measure appends by one caller, then by as many callers as one group commit takes."""
    containers = [ContainerId(f"{number:064x}") for number in range(GROUP)]
    for identity in containers:
        await _create(ledger, identity)
    began = time.perf_counter()
    await _rename(ledger, containers[0], ALONE)
    alone_s = time.perf_counter() - began
    began = time.perf_counter()
    async with trio.open_nursery() as callers:
        for identity in containers:
            callers.start_soon(_rename, ledger, identity, GROUPS)
    return ALONE / alone_s, GROUP * GROUPS / (time.perf_counter() - began)


async def _create(ledger: Ledger, identity: ContainerId) -> None:
    created = Created(id=identity, name=f"boat-{identity}", spec=_SPEC)
    await ledger.record(_ORIGIN, (container_stream(identity), (created,)))


async def _rename(ledger: Ledger, identity: ContainerId, times: int) -> None:
    name = ledger.head.containers[identity].name
    for number in range(times):
        before, name = name, f"boat-{identity}-{number}"
        renamed = Renamed(name=name, before=before)
        await ledger.record(_ORIGIN, (container_stream(identity), (renamed,)))


def main(directory: str) -> None:
    """Run the command."""
    log = EventLog.open(Path(directory) / "shipslog.db")
    try:
        print(json.dumps(trio.run(fill, Ledger(log, KernelClock()))))  # noqa: T201  (its answer)
    finally:
        log.close()


if __name__ == "__main__":
    main(sys.argv[1])
