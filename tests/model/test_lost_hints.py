"""Test a daemon that gets no hints: it finds journals' records and monitors' ends by looking, and
every client gets an answer.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from engine.domain.container.decisions import InvalidTransition
from engine.domain.container.phases import Phase
from engine.service.containers.waits import StartRefused, WaitCondition
from engine.store.container_index import NoSuchContainer
from tests.model.simulated_daemon import IMAGE, USER, Daemon, World, fresh_world, spec
from tests.model.simulated_machine import CrashPoint

PATIENCE_S = 5.0
"""Several sweeps: the time to find what is only found by looking."""


def without_hints(test: Callable[[World, Daemon], Awaitable[None]], place: Path) -> None:
    """Run a test whose machine never sends a hint to the daemon."""

    async def main() -> None:
        world = fresh_world(place / "data", IMAGE)
        async with trio.open_nursery() as lives, world.daemon(CrashPoint()) as daemon:
            world.machine.nursery = lives
            world.machine.wake = lambda _container: None
            with trio.fail_after(PATIENCE_S):
                await test(world, daemon)
            await trio.sleep(PATIENCE_S)
            world.check(daemon)
            lives.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def ends_by_itself(_world: World, daemon: Daemon) -> None:
    await daemon.containers.create("job", spec(lasts_s="0.5", code="7"), USER)
    await daemon.containers.start("job", USER)
    waiting = daemon.containers.waiting("job", WaitCondition.NOT_RUNNING)
    assert await waiting.result() == (7, "")


async def is_removed_by_force(_world: World, daemon: Daemon) -> None:
    await daemon.containers.create("web", spec(obeys=""), USER)
    await daemon.containers.start("web", USER)
    await daemon.containers.remove("web", USER, force=True, volumes=False)
    assert daemon.containers.all() == ()


async def loses_its_monitor(world: World, daemon: Daemon) -> None:
    identity, _ = await daemon.containers.create("web", spec(), USER)
    await daemon.containers.start("web", USER)
    world.machine.kill_monitor(identity)
    await daemon.containers.waiting("web", WaitCondition.NOT_RUNNING).result()
    await daemon.containers.remove("web", USER, force=True, volumes=False)


async def is_stopped(_world: World, daemon: Daemon) -> None:
    await daemon.containers.create("web", spec(obeys=""), USER)
    await daemon.containers.start("web", USER)
    await daemon.containers.stop("web", USER, signal=None, timeout_s=1)
    assert daemon.containers.get("web").phase is Phase.EXITED


async def is_removed_while_it_starts(_world: World, daemon: Daemon) -> None:
    await daemon.containers.create("web", spec(), USER)

    async with trio.open_nursery() as users:
        users.start_soon(start_or_fail, daemon)
        await trio.lowlevel.checkpoint()
        await daemon.containers.remove("web", USER, force=True, volumes=False)

    assert daemon.containers.all() == ()


async def start_or_fail(daemon: Daemon) -> None:
    """Start the container, which may fail because it is gone, or about to be."""
    with suppress(StartRefused, NoSuchContainer, InvalidTransition):
        await daemon.containers.start("web", USER)


@pytest.mark.parametrize(
    "what",
    [
        ends_by_itself,
        is_removed_by_force,
        loses_its_monitor,
        is_stopped,
        is_removed_while_it_starts,
    ],
)
def test_a_container_without_hints_converges(
    what: Callable[[World, Daemon], Awaitable[None]], tmp_path: Path
) -> None:
    without_hints(what, tmp_path)
