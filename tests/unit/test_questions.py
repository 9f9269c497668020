"""Test questions about all of history: answers as of one moment whatever is recorded meanwhile,
cancelled with their client, in little memory.
"""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import trio

from engine.domain.container.events import Created, Removed, RemoveRequested, Renamed
from engine.domain.container.spec import Spec
from engine.domain.event import SUPERVISOR, Origin
from engine.domain.host import HostInitialised
from engine.domain.ids import ContainerId, ImageId, InstanceId
from engine.domain.streams import HOST, container_stream
from engine.queries.history import BLOCK_EVENTS, History, Naming, Question, rows_until
from engine.queries.threads import ask
from engine.queries.threads import pause as questions_pause
from engine.store.ledger import Ledger
from engine.store.log import EventLog
from engine.store.records import Change

ORIGIN = Origin(actor=SUPERVISOR)
SPEC = Spec(image="busybox", image_id=ImageId("sha256:" + "0" * 64))
BOAT = ContainerId("a" * 64)
EVENTS: Final = 3_000
MANY: Final = 120_000
PAUSES_MAX: Final = 2
"""The pause of a statement, and that of finding out why the statement was ended."""
BOUND_BYTES: Final = 30 << 20


class Clock:
    def wall_ns(self) -> int:
        return 7

    def boot_ns(self) -> int:
        return 7


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    log = EventLog.open(tmp_path / "shipslog.db")
    yield Ledger(log, Clock())
    log.close()


async def begin(ledger: Ledger) -> None:
    await ledger.record(ORIGIN, (HOST, (HostInitialised(instance=InstanceId("f" * 32)),)))
    created = Created(id=BOAT, name="boat", spec=SPEC)
    await ledger.record(ORIGIN, (container_stream(BOAT), (created,)))


async def rename(ledger: Ledger, times: int) -> None:
    event = Renamed(name="boat", before="boat")
    await ledger.record(ORIGIN, (container_stream(BOAT), (event,) * times))


def test_an_audit_ends_although_events_are_being_written(ledger: Ledger) -> None:
    async def audited() -> None:
        await begin(ledger)
        await rename(ledger, EVENTS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_on)
            verdict = await History(ledger).verify()
            nursery.cancel_scope.cancel()
        assert verdict.problems == ()
        assert EVENTS < verdict.events < ledger.log.last_seq

    async def write_on() -> None:
        while True:
            await rename(ledger, 1)
            await trio.lowlevel.checkpoint()  # an append is not interrupted

    trio.run(audited)


@pytest.mark.parametrize("question", ["verify", "view_at"])
def test_a_query_ends_with_its_client(
    ledger: Ledger, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = 0

    async def given_up() -> None:
        await begin(ledger)
        await rename(ledger, EVENTS)
        history = History(ledger)
        with trio.CancelScope() as scope:

            def pause() -> None:
                nonlocal pauses
                pauses += 1
                trio.from_thread.run_sync(scope.cancel)
                questions_pause()

            monkeypatch.setattr("engine.queries.history.pause", pause)
            monkeypatch.setattr("engine.queries.threads.pause", pause)
            await (history.verify() if question == "verify" else history.view_at(7))
        assert scope.cancelled_caught

    trio.run(given_up)
    assert pauses <= PAUSES_MAX


def test_a_thread_is_used_for_a_block_at_a_time_however_few_events_answer(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def counted(function: Callable[[], object]) -> object:
        nonlocal asked
        asked += 1
        return await ask(function)

    async def read() -> list[int]:
        await begin(ledger)
        await rename(ledger, EVENTS)
        monkeypatch.setattr("engine.queries.history.ask", counted)
        question = Question(type="host_initialised")
        return [each.seq async for block in History(ledger).entries(question) for each in block]

    assert trio.run(read) == [1]
    assert asked > EVENTS / BLOCK_EVENTS


def test_the_name_of_a_removed_container_is_forgotten_after_its_last_event(ledger: Ledger) -> None:
    naming = Naming()

    async def lived() -> list[str]:
        await begin(ledger)
        await ledger.record(ORIGIN, (container_stream(BOAT), (RemoveRequested(), Removed())))
        return [naming.entry(each, ledger.durable).name for each in ledger.log.read()]

    assert trio.run(lived) == ["", "boat", "boat", "boat"]
    assert not naming._names


def test_a_past_moment_has_each_stream_up_to_its_last_event_then(tmp_path: Path) -> None:
    chance = random.Random(7)
    log = EventLog.open(tmp_path / "shipslog.db", threaded=False)
    versions: dict[str, int] = {}
    history: list[tuple[str, int, int]] = []
    for now_ns in range(400):
        stream = f"container/{chance.randrange(12)}"
        versions[stream] = versions.get(stream, 0) + 1
        at_ns = max(0, now_ns - chance.choice((0, 0, 0, 5, 60)))
        history.append((stream, versions[stream], at_ns))
    event = Renamed(name="a", before="b")
    changes = [Change(name, number, (event,), ORIGIN, at, b"{}") for name, number, at in history]
    trio.run(log.append, changes)

    for moment_ns in (0, 1, 57, 200, 333, 399, 1000):
        last = {name: number for name, number, at_ns in history if at_ns <= moment_ns}
        expected = [(name, number) for name, number, _ in history if number <= last.get(name, 0)]
        found = [(row.stream, row.version) for row in rows_until(log, moment_ns)]
        assert found == expected
    log.close()


async def count(history: History, question: Question) -> int:
    """Read all that answers a question, and keep nothing of it."""
    return sum([len(block) async for block in history.entries(question)])


def fill(directory: str, lives: int) -> None:
    """Record this many containers that came and went, at the times 1, 2, 3, …"""
    log = EventLog.open(Path(directory) / "shipslog.db", threaded=False)
    ledger = Ledger(log, Clock())
    trio.run(begin, ledger)
    for first in range(0, lives, 1000):
        trio.run(log.append, [_life(number) for number in range(first, first + 1000)])
    log.close()


def _life(number: int) -> Change:
    identity = ContainerId(f"{number:064x}")
    events = (
        Created(id=identity, name=f"boat-{number}", spec=SPEC),
        Renamed(name=f"ship-{number}", before=f"boat-{number}"),
        RemoveRequested(force=True, volumes=False),
        Removed(),
    )
    return Change(container_stream(identity), 1, events, ORIGIN, 8 + number, None)


_MEASURE: Final = """
import sys, resource, trio
from pathlib import Path
from engine.queries.history import History, Question
from engine.store.ledger import Ledger
from engine.store.log import EventLog
from tests.unit.test_questions import Clock, count

history = History(Ledger(EventLog.open(Path(sys.argv[1]) / "shipslog.db"), Clock()))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
verdict = trio.run(history.verify)
assert verdict.problems == (), verdict
for moment_ns in (7, 9, 5_000):
    trio.run(history.view_at, moment_ns)
for question in (Question(), Question(since_ns=9, until_ns=5_000), Question(type="none")):
    trio.run(count, history, question)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10)
history._ledger.log.close()
"""


def test_what_questions_take_does_not_grow_with_the_log(tmp_path: Path) -> None:
    fill(str(tmp_path), MANY // 4)

    command = [sys.executable, "-c", _MEASURE, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)

    assert int(done.stdout) < BOUND_BYTES
