"""Test health checks on virtual time: when they run, what is recorded, and the effects of a
daemon's death.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from engine.domain.container.health import Health, HealthChanged, HealthStatus
from engine.domain.container.spec import Spec
from engine.domain.image.config import Healthcheck
from tests.model.simulated_daemon import IMAGE, USER, Daemon, World, fresh_world, spec
from tests.model.simulated_machine import SECOND_NS, CrashPoint, VirtualClock
from tests.model.test_crashes import crash_at, memory_directory

__all__ = ["memory_directory"]

UP_S = 1000.0
DAY_NS = 24 * 3600 * SECOND_NS
STARTING, HEALTHY, UNHEALTHY = HealthStatus


def checked(interval_s: float = 2, timeout_s: float = 1, retries: int = 2, **labels: str) -> Spec:
    """Return the spec of a container with a check; the labels say its results and its duration."""
    check = Healthcheck(
        test=("CMD", "check"),
        interval=round(interval_s * SECOND_NS),
        timeout=round(timeout_s * SECOND_NS),
        retries=retries,
    )
    return replace(spec(**labels), healthcheck=check)


def in_virtual_time(tmp_path: Path, life: Callable[[World], Awaitable[None]]) -> None:
    """Run a scenario in virtual time."""

    async def main() -> None:
        world = fresh_world(tmp_path / "world", IMAGE)
        await trio.sleep(UP_S)
        async with trio.open_nursery() as nature:
            world.machine.nursery = nature
            await life(world)
            nature.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def run(daemon: Daemon, name: str, asked: Spec) -> None:
    await daemon.containers.create(name, asked, USER)
    await daemon.containers.start(name, USER)


def health(daemon: Daemon, name: str) -> Health:
    """Return the health that ``inspect`` would show."""
    found = daemon.supervisor.health.current(daemon.containers.get(name)).health
    assert found is not None
    return found


def changes(daemon: Daemon) -> list[HealthStatus]:
    """Return the changes of health in the log."""
    return [
        each.event.status
        for each in daemon.ledger.log.read()
        if isinstance(each.event, HealthChanged)
    ]


def test_a_container_becomes_healthy_ill_and_healthy_again(tmp_path: Path) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            await run(daemon, "web", checked(healthy_after_s="5", unhealthy_after_s="11"))
            await trio.sleep(1.9)
            assert health(daemon, "web") == Health()
            await trio.sleep(0.2)  # the first probe has failed
            assert (health(daemon, "web").status, health(daemon, "web").failing_streak) == (
                STARTING,
                1,
            )
            await trio.sleep(8)
            assert health(daemon, "web").status is HEALTHY
            await trio.sleep(100)
            assert health(daemon, "web").status is UNHEALTHY
            assert health(daemon, "web").failing_streak > 40
            assert len(health(daemon, "web").log) == 5
            assert changes(daemon) == [UNHEALTHY, HEALTHY, UNHEALTHY], "and not one for each probe"

    in_virtual_time(tmp_path, life)


def test_a_probe_that_hangs_is_a_failure_and_delays_no_other(tmp_path: Path) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            await run(daemon, "mule", checked(timeout_s=50, retries=1, probe_s="1000"))
            for number in range(20):
                await run(daemon, f"web{number}", checked())
            await trio.sleep(3)
            assert all(health(daemon, f"web{number}").status is HEALTHY for number in range(20))
            assert health(daemon, "mule").status is STARTING
            await trio.sleep(50)
            assert health(daemon, "mule").status is UNHEALTHY
            (result,) = health(daemon, "mule").log
            assert (result.exit_code, result.output) == (-1, "Health check exceeded timeout (50s)")

    in_virtual_time(tmp_path, life)


def test_nothing_is_asked_while_nothing_runs(tmp_path: Path) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            await run(daemon, "web", checked(probe_s="0.5"))
            await trio.sleep(2.7)
            assert health(daemon, "web").status is HEALTHY
            await trio.sleep(1.9)
            assert len(world.machine.probing) == 1
            await daemon.containers.pause("web", USER)
            await trio.sleep(0.1)
            assert not world.machine.probing, "the probe has been given up"
            known = health(daemon, "web")
            await trio.sleep(60)
            assert health(daemon, "web") == known
            await daemon.containers.unpause("web", USER)
            await trio.sleep(3)
            assert health(daemon, "web").status is HEALTHY
            await daemon.containers.stop("web", USER, signal=None, timeout_s=None)
            await trio.sleep(60)
            assert changes(daemon) == [HEALTHY, HEALTHY]
            assert len(health(daemon, "web").log) == 2

    in_virtual_time(tmp_path, life)


def test_a_restart_begins_anew(tmp_path: Path) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            await run(daemon, "web", checked(retries=3, unhealthy_after_s="5"))
            await trio.sleep(10)
            assert (health(daemon, "web").status, health(daemon, "web").failing_streak) == (
                HEALTHY,
                2,
            )
            await daemon.containers.restart("web", USER, signal=None, timeout_s=1)
            now = health(daemon, "web")
            assert (now.status, now.failing_streak, len(now.log)) == (STARTING, 0, 4)
            await trio.sleep(2.5)
            assert health(daemon, "web").status is HEALTHY

    in_virtual_time(tmp_path, life)


def test_the_status_survives_the_daemon_and_the_check_goes_on(tmp_path: Path) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            await run(daemon, "web", checked(healthy_after_s="0", unhealthy_after_s="20"))
            await trio.sleep(10)
        await trio.sleep(3)
        async with world.daemon(CrashPoint()) as daemon:
            assert health(daemon, "web").status is HEALTHY
            assert [each.output for each in health(daemon, "web").log] == ["2 s"]
            await trio.sleep(20)
            assert health(daemon, "web").status is UNHEALTHY
            assert changes(daemon) == [HEALTHY, UNHEALTHY]

    in_virtual_time(tmp_path, life)


def test_after_a_restart_of_the_daemon_checks_are_as_far_apart_as_the_starts_were(
    tmp_path: Path,
) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            for number in range(30):
                await run(daemon, f"web{number}", checked(interval_s=30, probe_s="0.5"))
                await trio.sleep(1)
        async with world.daemon(CrashPoint()):
            most = 0
            for _ in range(400):
                await trio.sleep(0.1)
                most = max(most, len(world.machine.probing))
            assert 1 <= most <= 2

    in_virtual_time(tmp_path, life)


class JumpyClock(VirtualClock):
    """A clock whose wall time is set by an administrator."""

    offset_ns = 0

    def wall_ns(self) -> int:
        return super().wall_ns() + self.offset_ns


@pytest.mark.parametrize("jump_ns", [DAY_NS, -DAY_NS], ids=["ahead", "back"])
def test_a_clock_that_jumps_changes_no_interval(tmp_path: Path, jump_ns: int) -> None:
    async def life(world: World) -> None:
        world.machine.clock = clock = JumpyClock()
        async with world.daemon(CrashPoint()) as daemon:
            await run(daemon, "web", checked(interval_s=10))
            await trio.sleep(15)
            assert len(health(daemon, "web").log) == 1
            clock.offset_ns = jump_ns
            await trio.sleep(10)
            assert len(health(daemon, "web").log) == 2
            assert health(daemon, "web").status is HEALTHY

    in_virtual_time(tmp_path, life)


def test_a_result_that_comes_too_late_for_its_run_is_forgotten(tmp_path: Path) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            await run(daemon, "web", checked(retries=1, lasts_s="2.05", probe_s="0.2"))
            await trio.sleep(60)
            assert changes(daemon) == []

    in_virtual_time(tmp_path, life)


async def checking(daemon: Daemon, answers: list[str]) -> None:
    await run(daemon, "web", checked(unhealthy_after_s="7"))
    answers.append("started web")
    await trio.sleep(3)
    await daemon.containers.pause("web", USER)
    answers.append("paused web")
    await daemon.containers.unpause("web", USER)
    await trio.sleep(10)
    assert health(daemon, "web").status is UNHEALTHY
    await daemon.containers.stop("web", USER, signal=None, timeout_s=None)
    answers.append("stopped web")
    await daemon.containers.start("web", USER)
    answers.append("started web")
    await trio.sleep(5)
    assert health(daemon, "web").status is HEALTHY


@pytest.mark.timeout(600)
def test_a_daemon_killed_at_any_step_between_two_probes_loses_nothing(
    memory_directory: Path,
) -> None:
    step = 1
    while crash_at(checking, step, memory_directory / str(step)):
        step += 1

    assert step > 40, "there must have been steps to crash at"
