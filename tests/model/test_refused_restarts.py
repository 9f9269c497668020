"""Test a restart whose second half fails: the waiting client gets the error; a crash in between
changes nothing.
"""

from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.domain.container.namespace_sharing import with_container
from engine.domain.container.phases import Phase
from engine.service.containers.waits import StartRefused
from tests.model.simulated_daemon import USER, Daemon, World, spec
from tests.model.simulated_machine import CrashPoint
from tests.model.test_crashes import crash_at, memory_directory
from tests.model.test_health import in_virtual_time, run

__all__ = ["memory_directory"]


async def restart_without_the_owner(daemon: Daemon, answers: list[str]) -> None:
    owner, _ = await daemon.containers.create("owner", spec(), USER)
    await daemon.containers.start("owner", USER)
    await run(daemon, "sharer", replace(spec(), network_mode=with_container(owner)))
    await daemon.containers.kill("owner", USER, signal=9)
    with pytest.raises(StartRefused, match="cannot join network of a non running container"):
        await daemon.containers.restart("sharer", USER, signal=None, timeout_s=1)
    answers.append("refused sharer")


def test_a_restart_without_the_owner_of_its_network_is_refused(tmp_path: Path) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            await restart_without_the_owner(daemon, [])
            sharer = daemon.containers.get("sharer")
            assert sharer.phase is Phase.EXITED
            assert "cannot join network" in sharer.error
        await world.settled()

    in_virtual_time(tmp_path, life)


def test_a_crash_meanwhile_leaves_no_step_undone(memory_directory: Path) -> None:
    step = 1
    while crash_at(restart_without_the_owner, step, memory_directory / str(step)):
        step += 1
