"""Test execs that are never started: they end with their container in one append, and an unknown
one is searched for only where it can be.
"""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import pytest
import trio
import trio.testing

from engine.domain.exec.state import UNSTARTED_MAX_NS, ExecCreated, ExecSpec, ExecStartFailed
from engine.service.execs import RECENT_CHARACTERS_MAX
from engine.store.codec import Codec
from engine.store.exec_index import NoSuchExec
from engine.store.records import Change
from engine.supervisor import sweep
from tests.model.simulated_daemon import IMAGE, USER, CrashingLog, Daemon, fresh_world, spec
from tests.model.simulated_machine import CrashPoint

EXECS: Final = 60


def in_a_world(directory: Path, story: Callable[[Daemon], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        world = fresh_world(directory / "world", IMAGE)
        async with trio.open_nursery() as nature, world.daemon(CrashPoint()) as daemon:
            world.machine.nursery = nature
            await daemon.containers.create("box", spec(), USER)
            await daemon.containers.start("box", USER)
            for _ in range(EXECS):
                await daemon.execs.create("box", ExecSpec(arguments=("true",)), USER)
            await story(daemon)
            nature.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.fixture
def appends(monkeypatch: pytest.MonkeyPatch) -> list[list[Change]]:
    """Record every append; a commit holds one or more of them."""
    submit, appends = CrashingLog.submit, list[list[Change]]()

    def noted(log: CrashingLog, changes: list[Change], **options: bool) -> Any:
        appends.append(changes)
        return submit(log, changes, **options)

    monkeypatch.setattr(CrashingLog, "submit", noted)
    return appends


def endings(appends: list[list[Change]]) -> list[int]:
    """Count the execs that end in each append that ends any."""
    counts = [
        sum(isinstance(change.events[-1], ExecStartFailed) for change in changes)
        for changes in appends
    ]
    return [count for count in counts if count]


def test_they_end_with_their_container_in_one_append(
    tmp_path: Path, appends: list[list[Change]]
) -> None:
    async def removed(daemon: Daemon) -> None:
        await daemon.containers.remove("box", USER, force=True, volumes=False)
        assert not daemon.ledger.durable.execs

    in_a_world(tmp_path, removed)

    assert endings(appends) == [EXECS]


def test_an_unknown_exec_reads_no_events_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, decoded = Codec.decode, list[str]()

    def noted(codec: Codec, name: str, schema: int, data: str) -> Any:
        decoded.append(name)
        return decode(codec, name, schema, data)

    async def asked(daemon: Daemon) -> None:
        monkeypatch.setattr(Codec, "decode", noted)
        with pytest.raises(NoSuchExec):
            await daemon.execs.get("e" * 64)
        monkeypatch.undo()

    in_a_world(tmp_path, asked)

    assert ExecCreated.TYPE not in decoded


def test_large_ones_are_kept_in_memory_by_the_view_alone(tmp_path: Path) -> None:
    large = ExecSpec(arguments=("true",), env=("A=" + "x" * RECENT_CHARACTERS_MAX,))

    async def created(daemon: Daemon) -> None:
        identity = await daemon.execs.create("box", large, USER)
        assert identity not in daemon.execs._recent
        assert len(daemon.execs._recent) == EXECS
        assert (await daemon.execs.get(identity)).spec == large

    in_a_world(tmp_path, created)


def test_those_that_nobody_started_for_long_go_in_one_append(
    tmp_path: Path, appends: list[list[Change]]
) -> None:
    async def idle(daemon: Daemon) -> None:
        old = tuple(daemon.ledger.durable.execs)
        await trio.sleep(UNSTARTED_MAX_NS / 1_000_000_000 - 10)
        fresh = await daemon.execs.create("box", ExecSpec(arguments=("true",)), USER)
        assert endings(appends) == []

        await trio.sleep(20)

        assert set(daemon.ledger.durable.execs) == {fresh}
        assert set(daemon.ledger.head.execs) == {fresh}
        with pytest.raises(NoSuchExec):
            await daemon.execs.get(old[0])

    in_a_world(tmp_path, idle)

    assert endings(appends) == [EXECS]


def test_those_of_many_containers_are_ended_few_at_a_time(
    tmp_path: Path, appends: list[list[Change]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "EXPIRED_MAX", EXECS // 3)

    async def idle(daemon: Daemon) -> None:
        await trio.sleep(UNSTARTED_MAX_NS / 1_000_000_000 + 60)
        assert not daemon.ledger.durable.execs

    in_a_world(tmp_path, idle)

    assert endings(appends) == [EXECS // 3] * 3
