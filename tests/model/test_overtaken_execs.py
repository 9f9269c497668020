"""Test an exec whose container ends before its process begins: waiting clients get an answer and
are disconnected.
"""

from pathlib import Path

import trio
import trio.testing

from engine.domain.exec.state import ExecPhase, ExecSpec
from engine.ports.actions import StartExec
from engine.ports.streams import StreamOptions
from tests.model.simulated_daemon import IMAGE, USER, Daemon, fresh_world, spec
from tests.model.simulated_machine import CrashPoint


async def overtaken(daemon: Daemon) -> None:
    await daemon.containers.create("box", spec(), USER)
    await daemon.containers.start("box", USER)
    identity = await daemon.execs.create("box", ExecSpec(arguments=("true",)), USER)
    daemon.kernel.refusals[StartExec] = "its monitor does not answer"

    async with trio.open_nursery() as client:

        async def start() -> None:
            ended = await daemon.execs.start(identity, StreamOptions(), None, USER)
            assert ended.phase is ExecPhase.ENDED
            assert ended.error

        client.start_soon(start)
        await trio.sleep(1)
        assert daemon.connections.withdrawn == []
        await daemon.containers.kill("box", USER, signal=9)

    assert daemon.connections.withdrawn == [identity]


def test_the_client_of_an_exec_that_never_starts_is_disconnected(tmp_path: Path) -> None:
    async def main() -> None:
        world = fresh_world(tmp_path / "world", IMAGE)
        async with trio.open_nursery() as nature, world.daemon(CrashPoint()) as daemon:
            world.machine.nursery = nature
            await overtaken(daemon)
            nature.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
