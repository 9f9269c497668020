"""Test that an action that never ends is recorded as failed when its deadline passes, and every
waiting client gets an answer.
"""

from pathlib import Path

import pytest
import trio

from engine.domain.container.phases import Phase
from engine.errors import EngineError
from engine.ports.actions import PrepareRun, RemoveCgroup
from engine.service.containers.waits import StartRefused
from engine.supervisor.deadlines import USUAL_S
from tests.model.simulated_daemon import USER, World, spec
from tests.model.simulated_machine import CrashPoint
from tests.model.test_health import in_virtual_time, run

MARGIN_S = 5.0


def test_a_start_that_hangs_fails_and_the_container_can_be_removed(tmp_path: Path) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            daemon.kernel.hanging.add(PrepareRun)
            await daemon.containers.create("web", spec(), USER)
            with trio.fail_after(USUAL_S + MARGIN_S):
                with pytest.raises(StartRefused, match="may not answer"):
                    await daemon.containers.start("web", USER)
            container = daemon.containers.get("web")
            assert (container.phase, container.exit_code) == (Phase.EXITED, 125)
            daemon.kernel.hanging.clear()
            await daemon.containers.start("web", USER)
            await daemon.containers.remove("web", USER, force=True, volumes=False)
        await world.settled()

    in_virtual_time(tmp_path, life)


def test_a_removal_that_hangs_is_reported_and_done_later(tmp_path: Path) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            await run(daemon, "web", spec())
            daemon.kernel.hanging.add(RemoveCgroup)
            with trio.fail_after(2 * USUAL_S + MARGIN_S):
                with pytest.raises(EngineError, match="did not end within 30 s"):
                    await daemon.containers.remove("web", USER, force=True, volumes=False)
            daemon.kernel.hanging.clear()
        await world.settled()

    in_virtual_time(tmp_path, life)


def test_the_parts_of_a_removal_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            await run(daemon, "web", spec())
            place = world.machine.places[daemon.containers.get("web").id]
            daemon.kernel.hanging.add(RemoveCgroup)
            await daemon.containers.kill("web", USER, signal=9)
            await trio.sleep(1)
            assert place.cgroup
            assert not place.sandboxes
            daemon.kernel.hanging.clear()
        await world.settled()

    in_virtual_time(tmp_path, life)
