"""Test jumps of the wall clock: order comes from ``seq``, durations from the clock that never
jumps. casebook 21.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from engine.api.containers.show import status_text
from engine.api.times import Moment
from engine.domain.container.spec import RestartPolicy
from tests.model.simulated_daemon import IMAGE, USER, Daemon, fresh_world, spec
from tests.model.simulated_machine import SECOND_NS, CrashPoint, VirtualClock

DAY_NS = 24 * 3600 * SECOND_NS
UP_S = 1000.0
"""How long the machine has been on."""
JUMPS = pytest.mark.parametrize("jump_ns", [DAY_NS, -DAY_NS], ids=["ahead", "back"])


class JumpyClock(VirtualClock):
    """A clock whose wall time is set by an administrator."""

    offset_ns = 0

    def wall_ns(self) -> int:
        return super().wall_ns() + self.offset_ns


def in_virtual_time(tmp_path: Path, life: Callable[[Daemon, JumpyClock], Awaitable[None]]) -> None:
    """Run a scenario in virtual time."""

    async def main() -> None:
        world, clock = fresh_world(tmp_path / "world", IMAGE), JumpyClock()
        world.machine.clock = clock
        await trio.sleep(UP_S)
        async with trio.open_nursery() as nature, world.daemon(CrashPoint()) as daemon:
            world.machine.nursery = nature
            await life(daemon, clock)
            nature.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@JUMPS
def test_uptime_does_not_jump(tmp_path: Path, jump_ns: int) -> None:
    async def life(daemon: Daemon, clock: JumpyClock) -> None:
        await daemon.containers.create("web", spec(), USER)
        await daemon.containers.start("web", USER)
        await trio.sleep(300)
        clock.offset_ns = jump_ns
        now = Moment(wall_ns=clock.wall_ns(), boot_ns=clock.boot_ns())
        assert status_text(daemon.containers.get("web"), now) == "Up 5 minutes"

    in_virtual_time(tmp_path, life)


@JUMPS
def test_order_is_that_of_the_log(tmp_path: Path, jump_ns: int) -> None:
    async def life(daemon: Daemon, clock: JumpyClock) -> None:
        await daemon.containers.create("web", spec(), USER)
        await daemon.containers.start("web", USER)
        clock.offset_ns = jump_ns
        await daemon.containers.stop("web", USER, signal=None, timeout_s=None)
        await daemon.containers.remove("web", USER, force=False, volumes=False)
        types = [
            each.event.TYPE for each in daemon.ledger.log.read() if "container/" in each.stream
        ]
        assert types == [
            "container_created",
            "container_start_requested",
            "container_started",
            "container_stop_requested",
            "container_signalled",
            "container_exited",
            "container_remove_requested",
            "container_removed",
        ]
        assert daemon.history._verify(lambda: None).problems == ()

    in_virtual_time(tmp_path, life)


@JUMPS
def test_the_grace_of_a_stop_is_as_long_as_it_was_asked(tmp_path: Path, jump_ns: int) -> None:
    async def life(daemon: Daemon, clock: JumpyClock) -> None:
        await daemon.containers.create("mule", spec(obeys=""), USER)
        await daemon.containers.start("mule", USER)
        began_ns = clock.boot_ns()
        async with trio.open_nursery() as user:

            async def stop() -> None:
                await daemon.containers.stop("mule", USER, signal=None, timeout_s=10)

            user.start_soon(stop)
            await trio.sleep(2)
            clock.offset_ns = jump_ns
        took_s = (clock.boot_ns() - began_ns) / SECOND_NS
        assert took_s == pytest.approx(10, abs=0.5)

    in_virtual_time(tmp_path, life)


@JUMPS
def test_a_restart_comes_when_its_delay_is_over(tmp_path: Path, jump_ns: int) -> None:
    async def life(daemon: Daemon, clock: JumpyClock) -> None:
        policy = RestartPolicy(name="always", retries_max=0)
        flaky = msgspec.structs.replace(spec(lasts_s="0.2", code="1"), restart_policy=policy)
        await daemon.containers.create("flaky", flaky, USER)
        await daemon.containers.start("flaky", USER)
        await trio.sleep(0.25)  # ended, and waiting for its next run
        clock.offset_ns = jump_ns
        await trio.sleep(2)
        assert daemon.containers.get("flaky").run > 1

    in_virtual_time(tmp_path, life)
