"""While nothing changes nothing is listed; every change is a reason to list."""

import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from engine.supervisor.sweep import EVERYTHING_S, SWEEP_S
from tests.model.simulated_daemon import USER, Daemon, World, spec
from tests.model.simulated_machine import CrashPoint
from tests.model.test_health import in_virtual_time, run

SETTLED_S = 5 * SWEEP_S
QUIET_S = 10 * SWEEP_S
NOTICED_S = 2.0


def quiet(tmp_path: Path, act: Callable[[World, Daemon], Awaitable[None]]) -> None:
    """Act on a daemon with one container, after the last sweep that had a reason."""

    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            await run(daemon, "web", spec())
            await trio.sleep(EVERYTHING_S)
            while (before := daemon.kernel.inventories) and await listed(daemon, before):
                pass  # the rare look at everything has just been
            await act(world, daemon)

    in_virtual_time(tmp_path, life)


async def listed(daemon: Daemon, before: int) -> bool:
    await trio.sleep(QUIET_S)
    return daemon.kernel.inventories != before


def test_nothing_is_listed_while_nothing_changes(tmp_path: Path) -> None:
    async def act(world: World, daemon: Daemon) -> None:
        before = daemon.kernel.inventories
        await trio.sleep(EVERYTHING_S)
        assert daemon.kernel.inventories <= before + 1, "everything is listed now and then"

    quiet(tmp_path, act)


def test_everything_is_listed_now_and_then(tmp_path: Path) -> None:
    async def act(world: World, daemon: Daemon) -> None:
        before = daemon.kernel.inventories
        await trio.sleep(3 * EVERYTHING_S)
        assert before + 2 <= daemon.kernel.inventories <= before + 3

    quiet(tmp_path, act)


def take_cgroup(world: World, daemon: Daemon) -> None:
    world.machine.places[daemon.containers.get("web").id].cgroup = False


def take_bridges(world: World, daemon: Daemon) -> None:
    world.machine.bridges.clear()


def take_files(world: World, daemon: Daemon) -> None:
    world.machine.places[daemon.containers.get("web").id].files = False


@pytest.mark.parametrize("damage", [take_cgroup, take_bridges, take_files])
def test_damage_is_repaired_at_once(
    tmp_path: Path, damage: Callable[[World, Daemon], None]
) -> None:
    async def act(world: World, daemon: Daemon) -> None:
        damage(world, daemon)
        await trio.sleep(NOTICED_S)
        place = world.machine.places[daemon.containers.get("web").id]
        assert place.cgroup
        assert place.files
        assert world.machine.bridges

    quiet(tmp_path, act)


def test_a_notice_that_was_dropped_by_a_failure_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(world: World, daemon: Daemon) -> None:
        ask = daemon.kernel.may_have_changed

        async def hear_and_fail() -> bool:
            monkeypatch.setattr(daemon.kernel, "may_have_changed", ask)
            await ask()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(daemon.kernel, "may_have_changed", hear_and_fail)
        take_cgroup(world, daemon)
        await trio.sleep(3 * SWEEP_S)
        assert world.machine.places[daemon.containers.get("web").id].cgroup

    quiet(tmp_path, act)


def test_an_event_is_a_reason_to_list(tmp_path: Path) -> None:
    async def act(world: World, daemon: Daemon) -> None:
        before = daemon.kernel.inventories
        await daemon.containers.pause("web", USER)
        await trio.sleep(NOTICED_S)
        assert daemon.kernel.inventories > before

    quiet(tmp_path, act)
