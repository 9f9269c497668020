"""Test execs that are never started: they end with their container in one append, and an unknown
one is searched for only where it can be.
"""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import pytest
import trio
import trio.testing

from engine.domain.exec.state import UNSTARTED_MAX_NS, ExecCreated, ExecSpec
from engine.store.codec import Codec
from engine.store.exec_index import NoSuchExec
from engine.store.records import Change
from tests.model.simulated_daemon import IMAGE, USER, Daemon, FusedLog, fresh_world, spec
from tests.model.simulated_kernel import Fuse

EXECS: Final = 60


def in_a_world(directory: Path, story: Callable[[Daemon], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        world = fresh_world(directory / "world", IMAGE)
        async with trio.open_nursery() as nature, world.daemon(Fuse()) as daemon:
            world.machine.nursery = nature
            await daemon.containers.create("box", spec(), USER)
            await daemon.containers.start("box", USER)
            for _ in range(EXECS):
                await daemon.execs.create("box", ExecSpec(arguments=("true",)), USER)
            await story(daemon)
            nature.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_they_end_with_their_container_in_one_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, appends = FusedLog.submit, list[list[Change]]()

    def counted(log: FusedLog, changes: list[Change], **options: bool) -> Any:
        appends.append(changes)
        return submit(log, changes, **options)

    async def removed(daemon: Daemon) -> None:
        monkeypatch.setattr(FusedLog, "submit", counted)
        await daemon.containers.remove("box", USER, force=True, volumes=False)
        assert not daemon.ledger.durable.execs

    in_a_world(tmp_path, removed)

    ending = [sum("/exec/" in change.stream for change in changes) for changes in appends]
    assert max(ending) == sum(ending) == EXECS


def test_an_unknown_one_costs_no_look_at_the_others(
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


def test_those_that_nobody_started_for_long_go_when_another_is_made(tmp_path: Path) -> None:
    async def created(daemon: Daemon) -> None:
        old = tuple(daemon.ledger.durable.execs)
        await trio.sleep(UNSTARTED_MAX_NS / 1_000_000_000 + 1)

        fresh = await daemon.execs.create("box", ExecSpec(arguments=("true",)), USER)

        assert set(daemon.ledger.durable.execs) == {fresh}
        with pytest.raises(NoSuchExec):
            await daemon.execs.get(old[0])

    in_a_world(tmp_path, created)
