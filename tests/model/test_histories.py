"""Test random histories: hypothesis chooses what users ask, what breaks, and when the daemon is
killed.
"""

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.domain.container.resources import Resources
from engine.domain.container.spec import Membership, RestartPolicy, Spec
from engine.domain.exec.state import ExecSpec
from engine.domain.network.decisions import NetworkRequest
from engine.errors import EngineError
from engine.ports.streams import StreamOptions
from tests.model.simulated_daemon import IMAGE, USER, Daemon, World, fresh_world, spec
from tests.model.simulated_machine import CrashPoint
from tests.model.test_crashes import live

NAMES = ("ann", "bob", "cat")
KINDS: dict[str, Spec] = {
    "obedient": spec(),
    "stubborn": spec(obeys=""),
    "short": spec(lasts_s="0.5", code="7"),
    "removes itself": replace(spec(lasts_s="0.5", code="7"), auto_remove=True),
    "flaky": replace(
        spec(lasts_s="0.3", code="1"),
        restart_policy=RestartPolicy(name="on-failure", retries_max=2),
    ),
    "wrong": spec(missing=""),
}


@dataclass(frozen=True)
class Step:
    """One event of a history; its object need not exist."""

    verb: str
    name: str
    kind: str


Verb = Callable[[Daemon, Step], Awaitable[object]]


async def create(daemon: Daemon, step: Step) -> None:
    await daemon.containers.create(step.name, KINDS[step.kind], USER)


async def run_exec(daemon: Daemon, step: Step) -> None:
    identity = await daemon.execs.create(step.name, ExecSpec(arguments=("true",)), USER)
    await daemon.execs.start(identity, StreamOptions(), None, USER)


async def update(daemon: Daemon, step: Step) -> None:
    limits = Resources(cpu_shares=2 + len(step.kind))
    await daemon.updates.update(step.name, limits, RestartPolicy(name="no"), USER)


async def make_network(daemon: Daemon, step: Step) -> None:
    await daemon.networks.create(NetworkRequest(name=f"net-{step.name}"), USER)


async def remove_network(daemon: Daemon, step: Step) -> None:
    await daemon.networks.remove(f"net-{step.name}", USER)


async def connect(daemon: Daemon, step: Step) -> None:
    network = f"net-{NAMES[len(step.kind) % len(NAMES)]}"
    await daemon.networks.connect(network, step.name, Membership(name=network), USER)


async def disconnect(daemon: Daemon, step: Step) -> None:
    network = f"net-{NAMES[len(step.kind) % len(NAMES)]}"
    await daemon.networks.disconnect(network, step.name, USER, force=False)


async def rename(daemon: Daemon, step: Step) -> None:
    await daemon.containers.rename(step.name, f"{step.name}-{step.kind[0]}", USER)


async def remove(daemon: Daemon, step: Step) -> None:
    await daemon.containers.remove(step.name, USER, force=True, volumes=False)


async def wait_a_moment(_daemon: Daemon, _step: Step) -> None:
    await trio.sleep(0.4)


VERBS: dict[str, Verb] = {
    "create": create,
    "start": lambda daemon, step: daemon.containers.start(step.name, USER),
    "stop": lambda daemon, step: daemon.containers.stop(step.name, USER, signal=None, timeout_s=2),
    "restart": lambda daemon, step: daemon.containers.restart(
        step.name, USER, signal=None, timeout_s=1
    ),
    "kill": lambda daemon, step: daemon.containers.kill(step.name, USER, signal=9),
    "hang up": lambda daemon, step: daemon.containers.kill(step.name, USER, signal=1),
    "pause": lambda daemon, step: daemon.containers.pause(step.name, USER),
    "unpause": lambda daemon, step: daemon.containers.unpause(step.name, USER),
    "exec": run_exec,
    "update": update,
    "make network": make_network,
    "remove network": remove_network,
    "connect": connect,
    "disconnect": disconnect,
    "rename": rename,
    "remove": remove,
    "wait": wait_a_moment,
}
DISASTERS = ("monitor dies", "reboot")
steps = st.builds(
    Step,
    verb=st.sampled_from((*VERBS, *VERBS, "create", "create", "start", "start", *DISASTERS)),
    name=st.sampled_from(NAMES),
    kind=st.sampled_from(tuple(KINDS)),
)


async def happen(world: World, daemon: Daemon, step: Step) -> None:
    if step.verb == "monitor dies":
        for identity, container in daemon.ledger.durable.containers.items():
            if container.name == step.name:
                world.machine.kill_monitor(identity)
        return
    with trio.move_on_after(60):  # a client gives up; the order is not cancelled
        try:
            await VERBS[step.verb](daemon, step)
        except EngineError:
            return


async def history(world: World, users: list[list[Step]], fuses: list[int]) -> None:
    """Run a history of two users; each life of the daemon ends at its crash, and what was not done
    by then is done in the next.
    """

    async def user(daemon: Daemon, doing: list[Step]) -> None:
        while doing:
            step = doing.pop(0)
            if step.verb == "reboot":
                reboots.append(step)
                raise EngineError("power cut")
            await happen(world, daemon, step)

    async def all_users(daemon: Daemon) -> None:
        async with trio.open_nursery() as nursery:
            for doing in users:
                nursery.start_soon(user, daemon, doing)

    reboots: list[Step] = []
    for at_step in (*fuses, None):
        try:
            await live(world, CrashPoint(at_step), all_users)
        except* EngineError:
            world.machine.reboot()
    while any(users):
        try:
            await live(world, CrashPoint(), all_users)
        except* EngineError:
            world.machine.reboot()
    await world.settled()


@pytest.mark.timeout(900)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    users=st.lists(st.lists(steps, max_size=9), min_size=1, max_size=2),
    fuses=st.lists(st.integers(min_value=1, max_value=120), max_size=3),
)
def test_whatever_happens_log_and_kernel_agree_in_the_end(
    users: list[list[Step]], fuses: list[int]
) -> None:
    directory = Path(tempfile.mkdtemp(prefix="shipslog-model-", dir="/dev/shm"))

    async def trial() -> None:
        world = fresh_world(directory / "root", IMAGE)
        async with trio.open_nursery() as nature:
            world.machine.nursery = nature
            await history(world, [list(doing) for doing in users], fuses)
            nature.cancel_scope.cancel()

    try:
        trio.run(trial, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
