"""Test a client that leaves before its arrival is durable: the log has both, in order."""

from pathlib import Path

import trio.testing

from engine.domain.container.events import AttachClosed, AttachOpened
from engine.ports.streams import StreamOptions
from engine.runtime.facts import AttachEnded
from tests.model.simulated_daemon import USER, CrashingLog, World, spec
from tests.model.simulated_machine import CrashPoint
from tests.model.test_health import in_virtual_time, run


def test_a_client_that_disconnects_at_once_is_detached(tmp_path: Path) -> None:
    async def life(world: World) -> None:
        async with world.daemon(CrashPoint()) as daemon:
            await run(daemon, "web", spec())
            log = daemon.ledger.log
            assert isinstance(log, CrashingLog)
            before = log.last_seq

            with log.held_up():
                attachment = await daemon.streams.attach("web", StreamOptions(), USER)
                ended = AttachEnded(attachment.attach, "eof")
                world.machine.write(daemon.containers.get("web"), ended)
                await trio.testing.wait_all_tasks_blocked()
            await trio.testing.wait_all_tasks_blocked()

            assert daemon.containers.get("web").attachments == ()
            written = [type(each.event) for each in log.read(before)]
            assert written == [AttachOpened, AttachClosed]

    in_virtual_time(tmp_path, life)
