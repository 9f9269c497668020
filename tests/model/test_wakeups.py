"""Count the looks at a container: a wake-up that waits when a look begins needs no look of its own."""

from collections import Counter
from pathlib import Path

import pytest
import trio
import trio.testing

from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.ports.observation import Observation
from tests.model.simulated_daemon import IMAGE, USER, Daemon, fresh_world, spec
from tests.model.simulated_kernel import SimulatedKernel
from tests.model.simulated_machine import CrashPoint


def test_a_start_takes_one_look_before_and_one_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe, looks = SimulatedKernel.observe, Counter[Phase]()

    async def counted(
        kernel: SimulatedKernel, container: Container, facts_after: int
    ) -> Observation:
        looks[container.phase] += 1
        return await observe(kernel, container, facts_after)

    async def started(daemon: Daemon) -> None:
        identity, _ = await daemon.containers.create("web", spec(), USER)
        await daemon.containers.start("web", USER)
        await daemon.supervisor._workers[identity].at_rest()

    monkeypatch.setattr(SimulatedKernel, "observe", counted)

    async def main() -> None:
        world = fresh_world(tmp_path / "data", IMAGE)
        async with trio.open_nursery() as lives, world.daemon(CrashPoint()) as daemon:
            world.machine.nursery = lives
            await started(daemon)
            lives.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    assert looks == {Phase.STARTING: 1, Phase.RUNNING: 1}


def test_who_asks_while_a_look_is_under_way_waits_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observe, looks = SimulatedKernel.observe, Counter[str]()

    async def main() -> None:
        world = fresh_world(tmp_path / "data", IMAGE)
        async with trio.open_nursery() as lives, world.daemon(CrashPoint()) as daemon:
            world.machine.nursery = lives
            identity, _ = await daemon.containers.create("web", spec(), USER)
            await daemon.containers.start("web", USER)
            worker = daemon.supervisor._workers[identity]
            await worker.at_rest()
            began, goes_on = trio.Event(), trio.Event()

            async def held(
                kernel: SimulatedKernel, container: Container, facts_after: int
            ) -> Observation:
                looks["begun"] += 1
                began.set()
                await goes_on.wait()
                return await observe(kernel, container, facts_after)

            monkeypatch.setattr(SimulatedKernel, "observe", held)
            worker.wake()
            await began.wait()
            lives.start_soon(worker.caught_up)
            await trio.testing.wait_all_tasks_blocked()
            goes_on.set()
            with trio.fail_after(1):
                await worker.caught_up()
            lives.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    assert looks["begun"] == 2
