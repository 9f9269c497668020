"""Test that no acknowledged order is lost when the daemon is killed at any step of a history."""

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing

from engine.domain.container.resources import Resources
from engine.domain.container.spec import Membership, PortBinding, RestartPolicy
from engine.domain.container.update import UpdateRefused
from engine.domain.exec.state import ExecSpec
from engine.domain.network.decisions import NetworkRequest
from engine.errors import DriverError, Forbidden
from engine.ports.actions import ApplyLimits, Connect
from engine.ports.streams import StreamOptions
from engine.service.containers.waits import StartRefused, WaitCondition
from engine.store.log import EventLog
from engine.store.projections import View
from tests.model.simulated_daemon import IMAGE, USER, Daemon, World, fresh_world, spec
from tests.model.simulated_machine import CrashPoint, Killed

Script = Callable[[Daemon, list[str]], Awaitable[None]]
"""What users do; it records each answer that they got."""


async def lifecycle(daemon: Daemon, answers: list[str]) -> None:
    await daemon.containers.create("web", spec(), USER)
    answers.append("created web")
    await daemon.containers.start("web", USER)
    answers.append("started web")
    await daemon.containers.stop("web", USER, signal=None, timeout_s=None)
    answers.append("stopped web")
    await daemon.containers.start("web", USER)
    answers.append("started web")
    await daemon.containers.rename("web", "site", USER)
    answers.append("renamed site")
    await daemon.containers.remove("site", USER, force=True, volumes=False)
    answers.append("removed site")


async def stubborn(daemon: Daemon, answers: list[str]) -> None:
    await daemon.containers.create("mule", spec(obeys=""), USER)
    await daemon.containers.start("mule", USER)
    answers.append("started mule")
    await daemon.containers.kill("mule", USER, signal=1)
    await daemon.containers.pause("mule", USER)
    answers.append("paused mule")
    await daemon.containers.stop("mule", USER, signal=None, timeout_s=3)
    answers.append("stopped mule")
    await daemon.containers.remove("mule", USER, force=False, volumes=False)
    answers.append("removed mule")


async def short_lived(daemon: Daemon, answers: list[str]) -> None:
    job = msgspec.structs.replace(spec(lasts_s="0.5", code="7"), auto_remove=True)
    identity, _ = await daemon.containers.create("job", job, USER)
    waiting = daemon.containers.waiting("job", WaitCondition.NEXT_EXIT)
    await daemon.containers.start("job", USER)
    answers.append("started job")
    assert await waiting.result() == (7, "")
    answers.append(f"ended {identity}")


async def several(daemon: Daemon, answers: list[str]) -> None:
    async def one(name: str, port: int) -> None:
        published = PortBinding(container_port=80, host_port=port)
        own = msgspec.structs.replace(spec(), ports=(published,))
        await daemon.containers.create(name, own, USER)
        await daemon.containers.start(name, USER)
        answers.append(f"started {name}")
        await daemon.containers.kill(name, USER, signal=9)
        answers.append(f"stopped {name}")

    async with trio.open_nursery() as users:
        for number, name in enumerate(("one", "two", "three")):
            users.start_soon(one, name, 8000 + number)


async def executing(daemon: Daemon, answers: list[str]) -> None:
    await daemon.containers.create("box", spec(), USER)
    await daemon.containers.start("box", USER)
    answers.append("started box")
    identity = await daemon.execs.create("box", ExecSpec(arguments=("true",)), USER)
    ended = await daemon.execs.start(identity, StreamOptions(), None, USER)
    assert ended.error == ""
    answers.append("exec ran")


async def restarting(daemon: Daemon, answers: list[str]) -> None:
    always = RestartPolicy(name="on-failure", retries_max=2)
    flaky = msgspec.structs.replace(spec(lasts_s="0.2", code="1"), restart_policy=always)
    await daemon.containers.create("flaky", flaky, USER)
    await daemon.containers.start("flaky", USER)
    await daemon.containers.create("steady", spec(), USER)
    await daemon.containers.start("steady", USER)
    await daemon.containers.restart("steady", USER, signal=None, timeout_s=1)
    answers.append("started steady")
    await trio.sleep(5)


async def updating(daemon: Daemon, answers: list[str]) -> None:
    more = Resources(memory_bytes=64 << 20, memory_swap_bytes=128 << 20)
    restless = RestartPolicy(name="on-failure", retries_max=1)
    await daemon.containers.create("web", spec(lasts_s="3", code="1"), USER)
    await daemon.updates.update("web", Resources(cpu_shares=2), None, USER)
    answers.append("updated web")
    await daemon.containers.start("web", USER)
    await daemon.updates.update("web", more, restless, USER)
    answers.append("updated web")
    await daemon.containers.pause("web", USER)
    daemon.kernel.refusals[ApplyLimits] = "unable to set memory limit"
    with pytest.raises(UpdateRefused, match="unable to set memory limit"):
        await daemon.updates.update("web", Resources(pids_max=5), None, USER)
    del daemon.kernel.refusals[ApplyLimits]
    async with trio.open_nursery() as users:
        for number in (7, 8):
            limits = Resources(pids_max=number)
            users.start_soon(daemon.updates.update, "web", limits, None, USER)
    answers += ["updated web", "updated web"]
    await daemon.containers.unpause("web", USER)
    await trio.sleep(8)


async def moving(daemon: Daemon, answers: list[str]) -> None:
    for name in ("front", "back"):
        await daemon.networks.create(NetworkRequest(name=name), USER)
        answers.append("made a network")
    front = Membership(name="front", aliases=("web",))
    both = msgspec.structs.replace(spec(), network_mode="front", networks=(front,))
    await daemon.containers.create("web", both, USER)
    await daemon.networks.connect("back", "web", Membership(name="back"), USER)
    answers.append("connected web")
    await daemon.containers.start("web", USER)
    await daemon.networks.disconnect("front", "web", USER, force=False)
    answers.append("disconnected web")
    daemon.kernel.refusals[Connect] = "no more interfaces"
    with pytest.raises(DriverError, match="no more interfaces"):
        await daemon.networks.connect("front", "web", front, USER)
    del daemon.kernel.refusals[Connect]
    async with trio.open_nursery() as users:
        users.start_soon(daemon.networks.connect, "front", "web", front, USER)
        users.start_soon(daemon.networks.connect, "bridge", "web", Membership(name="bridge"), USER)
    answers += ["connected web", "connected web"]
    with pytest.raises(Forbidden, match="has active endpoints"):
        await daemon.networks.remove("back", USER)
    await daemon.containers.kill("web", USER, signal=9)
    await daemon.networks.remove("back", USER)
    answers.append("took a network away")


async def failing(daemon: Daemon, answers: list[str]) -> None:
    await daemon.containers.create("wrong", spec(missing=""), USER)
    with pytest.raises(StartRefused, match="executable file not found"):
        await daemon.containers.start("wrong", USER)
    answers.append("refused wrong")


SCRIPTS: tuple[Script, ...] = (
    lifecycle,
    stubborn,
    short_lived,
    several,
    executing,
    restarting,
    failing,
    updating,
    moving,
)


@pytest.fixture
def memory_directory() -> Path:
    """Return a directory whose fsync costs nothing: the daemon dies here, not the machine."""
    return Path(tempfile.mkdtemp(prefix="shipslog-model-", dir="/dev/shm"))


def crash_at(
    script: Script, step: int | None, directory: Path, again_at: int | None = None
) -> bool:
    """Run one trial; return whether the daemon crashed."""
    crashed = False
    answers: list[str] = []

    async def trial() -> None:
        nonlocal crashed
        world = fresh_world(directory, IMAGE)
        async with trio.open_nursery() as nature:
            world.machine.nursery = nature
            crashed = await live(world, CrashPoint(step), lambda daemon: script(daemon, answers))
            if again_at is not None:
                await live(world, CrashPoint(again_at), recover)
            await world.settled()
            check_promises(world, answers)
            nature.cancel_scope.cancel()

    try:
        trio.run(trial, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return crashed


async def recover(_daemon: Daemon) -> None:
    """Wait as long as a recovery may take."""
    await trio.sleep(30)


async def live(world: World, crash: CrashPoint, doing: Callable[[Daemon], Awaitable[None]]) -> bool:
    """Run a daemon until its script is done or it crashes."""
    crashed = False
    try:
        async with world.daemon(crash) as daemon:
            await doing(daemon)
    except* Killed:
        crashed = True
    return crashed


def check_promises(world: World, answers: list[str]) -> None:
    """Check that every answer that a user got before the crash still holds, unless a later order,
    acknowledged or not, undid it.
    """
    log = EventLog.open(world.database, threaded=False)
    history = tuple(log.read())
    log.close()
    types = [recorded.event.TYPE for recorded in history]
    for answer, stored in (
        ("created", "container_created"),
        ("started", "container_started"),
        ("stopped", "container_exited"),
        ("paused", "container_paused"),
        ("renamed", "container_renamed"),
        ("removed", "container_removed"),
        ("ended", "container_exited"),
        ("updated", "container_updated"),
        ("made", "network_created"),
        ("took", "network_removed"),
        ("connected", "container_connected"),
        ("disconnected", "container_disconnected"),
        ("exec", "exec_started"),
        ("refused", "container_start_failed"),
    ):
        acknowledged = sum(word.startswith(answer) for word in answers)
        assert types.count(stored) >= acknowledged, (answer, answers, types)
    assert [recorded.seq for recorded in history] == list(range(1, len(history) + 1))
    removed = {word.partition(" ")[2] for word in answers if word.startswith("removed")}
    view = View()
    for recorded in history:
        view.apply(recorded)
    assert not removed & {container.name for container in view.containers.values()}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
@pytest.mark.timeout(600)
def test_a_daemon_killed_at_any_step_loses_nothing(script: Script, memory_directory: Path) -> None:
    step = 1
    while crash_at(script, step, memory_directory / str(step)):
        step += 1

    assert step > 15, "there must have been steps to crash at"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
@pytest.mark.timeout(600)
def test_a_daemon_killed_again_while_it_recovers_loses_nothing(
    script: Script, memory_directory: Path
) -> None:
    for step in range(3, 60, 8):
        for again_at in range(1, 12, 2):
            crash_at(script, step, memory_directory / f"{step}-{again_at}", again_at)
