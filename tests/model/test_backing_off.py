"""Test back-off: failed actions are retried ever more rarely, although sweeps find the damage every
second; a user's command ends the wait.
"""

from pathlib import Path

import trio

from engine.domain.container.phases import Phase
from engine.domain.ids import ContainerId
from engine.ports.actions import PrepareCgroup
from tests.model.simulated_daemon import USER, Daemon, World, spec
from tests.model.simulated_machine import CrashPoint
from tests.model.test_health import in_virtual_time, run

DAMAGED_S = 300.0
"""Some three hundred sweeps."""
ATTEMPTS_MAX = 22
"""Ten until the delay is 30 s, one for each 30 s after that, and a few caused by events."""


async def damage_cgroup(world: World, daemon: Daemon) -> ContainerId:
    """Remove a running container's cgroup, and let the kernel refuse to make another."""
    await run(daemon, "web", spec())
    identity = daemon.containers.get("web").id
    daemon.kernel.refusals[PrepareCgroup] = "no space left for cgroups"
    world.machine.places[identity].cgroup = False
    return identity


def test_sweeps_do_not_shorten_the_back_off(tmp_path: Path) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            await damage_cgroup(world, daemon)
            await trio.sleep(DAMAGED_S)
            assert 5 < daemon.kernel.refused[PrepareCgroup] < ATTEMPTS_MAX
            del daemon.kernel.refusals[PrepareCgroup]
        await world.settled()

    in_virtual_time(tmp_path, life)


def test_a_command_ends_the_back_off(tmp_path: Path) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            identity = await damage_cgroup(world, daemon)
            await trio.sleep(DAMAGED_S)
            del daemon.kernel.refusals[PrepareCgroup]
            with trio.fail_after(0.5):
                await daemon.containers.pause("web", USER)
            await trio.testing.wait_all_tasks_blocked()
            assert world.machine.places[identity].cgroup
            assert daemon.containers.get("web").phase is Phase.PAUSED
        await world.settled()

    in_virtual_time(tmp_path, life)
