"""Test that a removed image leaves both views and the table of live state once no container needs
it.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from engine.domain.container.events import Created, Removed, RemoveRequested
from engine.domain.container.spec import Spec
from engine.domain.event import SUPERVISOR, Origin
from engine.domain.host import DaemonStarted, HostInitialised
from engine.domain.ids import ContainerId, ImageId, InstanceId
from engine.domain.image.config import ImageConfig, ImageContents
from engine.domain.image.state import Image, ImageLoaded, ImageRemoved, Phase
from engine.domain.streams import HOST, container_stream, image_stream
from engine.queries.history import History, Question
from engine.store.errors import StoreUnavailable
from engine.store.ledger import Ledger
from engine.store.log import EventLog
from engine.store.states import encode_state
from tests.unit.test_ledger import ORIGIN, Clock

IMAGE = ImageId("sha256:" + "a" * 64)
STREAM = image_stream(IMAGE)
CONTENTS = ImageContents(
    id=IMAGE,
    config_bytes=2,
    created="",
    architecture="amd64",
    os="linux",
    config=ImageConfig(labels={"tier": "front"}),
)
LOADED, GONE = ImageLoaded(contents=CONTENTS), ImageRemoved()
BOAT = ContainerId("b" * 64)
BOAT_STREAM = container_stream(BOAT)
CREATED = Created(id=BOAT, name="boat", spec=Spec(image="busybox", image_id=IMAGE))
REMOVAL = (RemoveRequested(force=True, volumes=False), Removed())
STARTED = DaemonStarted(version="1", pid=1, boot_id="b")

Steps = Callable[[Ledger], Awaitable[None]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shipslog.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    log = EventLog.open(path)
    yield Ledger(log, Clock())
    log.close()


def happens(ledger: Ledger, steps: Steps) -> None:
    async def main() -> None:
        await ledger.record(ORIGIN, (HOST, (HostInitialised(instance=InstanceId("f" * 32)),)))
        await steps(ledger)

    trio.run(main)


def image_rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT count(*) FROM aggregates WHERE stream GLOB 'image/*'"
        return int(connection.execute(query).fetchone()[0])


def assert_nothing_is_left(ledger: Ledger, path: Path) -> None:
    for view in (ledger.head, ledger.durable):
        assert STREAM not in view.versions
        assert view.get(STREAM) is None
        assert not view.images
    assert not ledger._leaving
    assert image_rows(path) == 0
    assert trio.run(History(ledger).verify).problems == ()


def test_its_row_and_its_entries_are_deleted(ledger: Ledger, path: Path) -> None:
    async def steps(ledger: Ledger) -> None:
        await ledger.record(ORIGIN, (STREAM, (LOADED,)))
        assert image_rows(path) == 1
        await ledger.record(ORIGIN, (STREAM, (GONE,)))

    happens(ledger, steps)

    assert_nothing_is_left(ledger, path)


def test_one_that_comes_back_goes_on_with_its_stream(ledger: Ledger, path: Path) -> None:
    async def steps(ledger: Ledger) -> None:
        for _ in range(3):
            await ledger.record(ORIGIN, (STREAM, (LOADED,)))
            await ledger.record(ORIGIN, (STREAM, (GONE,)))
        await ledger.record(ORIGIN, (STREAM, (LOADED,)))

    happens(ledger, steps)

    assert ledger.head.versions[STREAM] == ledger.durable.versions[STREAM] == 7
    assert ledger.durable.images[IMAGE].phase is Phase.PRESENT
    assert trio.run(History(ledger).verify).problems == ()


def test_an_image_may_be_loaded_again_before_its_removal_is_durable(
    ledger: Ledger, path: Path
) -> None:
    async def steps(ledger: Ledger) -> None:
        for event in (LOADED, GONE, LOADED, GONE, LOADED, GONE):
            ledger.submit(ORIGIN, STREAM, event)
        await ledger.record(ORIGIN, (HOST, (STARTED,)))

    happens(ledger, steps)

    assert ledger.log.version(STREAM) == 6
    assert_nothing_is_left(ledger, path)


def test_a_container_keeps_the_image_that_it_was_made_from(ledger: Ledger, path: Path) -> None:
    async def steps(ledger: Ledger) -> None:
        await ledger.record(ORIGIN, (STREAM, (LOADED,)))
        await ledger.record(ORIGIN, (BOAT_STREAM, (CREATED,)))
        await ledger.record(ORIGIN, (STREAM, (GONE,)))
        assert ledger.head.images[IMAGE].removed
        assert ledger.durable.images[IMAGE].removed
        assert image_rows(path) == 1
        assert Ledger(ledger.log, Clock()).head.images[IMAGE].removed
        await ledger.record(ORIGIN, (BOAT_STREAM, REMOVAL))

    happens(ledger, steps)

    assert_nothing_is_left(ledger, path)


def test_a_removal_that_is_refused_leaves_container_and_image(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(batches: list[object]) -> list[StoreUnavailable]:
        return [StoreUnavailable("no space left") for _ in batches]

    async def steps(ledger: Ledger) -> None:
        await ledger.record(ORIGIN, (STREAM, (LOADED,)))
        await ledger.record(ORIGIN, (BOAT_STREAM, (CREATED,)))
        await ledger.record(ORIGIN, (STREAM, (GONE,)))
        with monkeypatch.context() as patch:
            patch.setattr(ledger.log._committer, "commit", refuse)
            with pytest.raises(StoreUnavailable):
                await ledger.record(ORIGIN, (BOAT_STREAM, REMOVAL))
        assert dict(ledger.head.states()) == dict(ledger.durable.states())
        assert ledger.head.images[IMAGE].removed
        assert image_rows(path) == 1
        await ledger.record(ORIGIN, (BOAT_STREAM, REMOVAL))

    happens(ledger, steps)

    assert_nothing_is_left(ledger, path)


def test_a_row_that_an_earlier_version_kept_goes_with_the_next_append(
    ledger: Ledger, path: Path
) -> None:
    async def steps(ledger: Ledger) -> None:
        await ledger.record(ORIGIN, (STREAM, (LOADED,)))
        await ledger.record(ORIGIN, (STREAM, (GONE,)))

    happens(ledger, steps)
    ledger.log.close()
    removed = Image(phase=Phase.REMOVED, contents=CONTENTS)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        statement = "INSERT INTO aggregates VALUES (?, 2, ?)"
        connection.execute(statement, (STREAM, encode_state(removed)))

    again = Ledger(EventLog.open(path), Clock())
    assert trio.run(History(again).verify).problems == ()
    assert not again.head.images
    assert image_rows(path) == 1
    trio.run(again.record, Origin(actor=SUPERVISOR), (HOST, (STARTED,)))

    assert_nothing_is_left(again, path)
    again.log.close()


def test_its_history_is_found_by_its_id(ledger: Ledger) -> None:
    async def types_about(about: str) -> list[str]:
        entries = History(ledger).entries(Question(about=about))
        return [entry.type async for block in entries for entry in block]

    async def steps(ledger: Ledger) -> None:
        await ledger.record(ORIGIN, (STREAM, (LOADED,)))
        await ledger.record(ORIGIN, (STREAM, (GONE,)))

    happens(ledger, steps)

    for about in (IMAGE, STREAM):
        assert trio.run(types_about, about) == ["image_loaded", "image_removed"]
