"""Test that the head is never ahead of what has been submitted, whatever fails."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trio

from engine.domain.event import SUPERVISOR, Origin
from engine.domain.host import DaemonStarted, DaemonStopped, HostInitialised
from engine.domain.ids import ImageId, InstanceId
from engine.domain.image.state import ImageSaved
from engine.domain.streams import HOST, image_stream
from engine.store import chain, codec, log
from engine.store.commit import Batch, Outcome
from engine.store.errors import StoreUnavailable
from engine.store.ledger import Append, Ledger
from engine.store.log import EventLog

ORIGIN = Origin(actor=SUPERVISOR)
BEGUN = (HOST, (HostInitialised(instance=InstanceId("a" * 32)),))
STARTED = (HOST, (DaemonStarted(version="1", pid=1, boot_id="b"),))
IMPOSSIBLE = (image_stream(ImageId("sha256:" + "0" * 64)), (ImageSaved(),))


class Clock:
    def wall_ns(self) -> int:
        return 7

    def boot_ns(self) -> int:
        return 7


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    log = EventLog.open(tmp_path / "shipslog.db", threaded=False)
    yield Ledger(log, Clock())
    log.close()


def test_a_rejected_decision_leaves_the_head_as_it_was(
    ledger: Ledger,
) -> None:
    async def history() -> None:
        await ledger.record(ORIGIN, BEGUN)
        with pytest.raises(KeyError):
            await ledger.record(ORIGIN, STARTED, IMPOSSIBLE)

    trio.run(history)

    assert ledger.head.versions == ledger.durable.versions == {HOST: 1}
    assert ledger.head.host == ledger.durable.host


def test_an_append_that_can_not_be_encoded_leaves_the_head(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("not encodable")

    async def history() -> None:
        await ledger.record(ORIGIN, BEGUN)
        with monkeypatch.context() as patch:
            patch.setattr(ledger.log, "submit", refuse)
            with pytest.raises(AssertionError):
                await ledger.record(ORIGIN, STARTED)
        await ledger.record(ORIGIN, STARTED, (HOST, (DaemonStopped(),)))

    trio.run(history)

    assert ledger.head.versions == ledger.durable.versions == {HOST: 3}


def test_both_views_share_their_states(ledger: Ledger) -> None:
    trio.run(ledger.record, ORIGIN, BEGUN, STARTED)

    assert ledger.head.host is ledger.durable.host

    again = Ledger(ledger.log, Clock())
    assert again.head.host is again.durable.host


def test_deferred_appends_are_in_the_log_after_a_normal_end(tmp_path: Path) -> None:
    path = tmp_path / "shipslog.db"

    async def history() -> None:
        ledger = Ledger(EventLog.open(path), Clock())
        await ledger.record(ORIGIN, BEGUN)
        ledger.submit(ORIGIN, HOST, DaemonStopped())
        ledger.log.close()

    trio.run(history)

    log = EventLog.open(path, threaded=False)
    assert [each.event for each in log.read(stream=HOST)][-1] == DaemonStopped()
    log.close()


def test_a_refused_deferred_append_is_undone_in_the_head(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> list[StoreUnavailable]:
        return [StoreUnavailable("no space left")]

    async def history() -> None:
        await ledger.record(ORIGIN, BEGUN)
        with monkeypatch.context() as patch:
            patch.setattr(ledger.log._committer, "commit", refuse)
            ledger.submit(ORIGIN, *STARTED[:1], *STARTED[1])
        await ledger.record(ORIGIN, STARTED)

    trio.run(history)

    assert ledger.head.versions == ledger.durable.versions == {HOST: 2}


def test_what_nobody_waits_for_is_committed_with_what_somebody_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "UNAWAITED_S", 60.0)
    commits: list[int] = []

    async def history() -> None:
        ledger = Ledger(EventLog.open(tmp_path / "shipslog.db"), Clock())
        await ledger.record(ORIGIN, BEGUN)
        commit = ledger.log._committer.commit

        def counted(batches: Sequence[Batch]) -> list[Outcome]:
            commits.append(len(batches))
            return commit(batches)

        monkeypatch.setattr(ledger.log._committer, "commit", counted)
        ledger.submit(ORIGIN, *STARTED[:1], *STARTED[1])
        await ledger.record(ORIGIN, (HOST, (DaemonStopped(),)))
        ledger.log.close()

    trio.run(history)

    assert commits == [2]


def test_what_nobody_waits_for_is_committed_when_nothing_follows(tmp_path: Path) -> None:
    async def history() -> None:
        ledger = Ledger(EventLog.open(tmp_path / "shipslog.db"), Clock())
        await ledger.record(ORIGIN, BEGUN)
        recorded = trio.Event()
        ledger.follow(lambda _: recorded.set())
        ledger.submit(ORIGIN, *STARTED[:1], *STARTED[1])
        with trio.fail_after(10):
            await recorded.wait()
        ledger.log.close()

    trio.run(history)


def test_of_several_appends_one_that_is_refused_takes_no_other_with_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = ledger.log._committer.commit

    def refuse_stops(batches: Sequence[Batch]) -> list[Outcome]:
        if any(isinstance(event, DaemonStopped) for event in batches[0].changes[0].events):
            return [StoreUnavailable("no space left")]
        return commit(batches)

    async def history() -> None:
        await ledger.record(ORIGIN, BEGUN)
        monkeypatch.setattr(ledger.log._committer, "commit", refuse_stops)
        appends = [Append(ORIGIN, [STARTED]), Append(ORIGIN, [(HOST, (DaemonStopped(),))])]
        with pytest.raises(StoreUnavailable):
            await ledger.record_each(appends)

    trio.run(history)

    assert ledger.head.versions == ledger.durable.versions == {HOST: 2}


def test_an_event_is_encoded_once_on_its_way_into_the_log(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[object] = []
    encode = codec._encode

    def counted(value: object) -> bytes:
        encoded.append(value)
        return encode(value)

    monkeypatch.setattr(codec, "_encode", counted)
    monkeypatch.setattr(chain, "_encode", counted)
    trio.run(ledger.record, ORIGIN, BEGUN)

    _, (event,) = BEGUN
    assert [each for each in encoded if each is event] == [event]
    (row,) = (each for each in encoded if isinstance(each, chain.Row))
    assert isinstance(row.data, str), "the hash covers the text that is stored"
