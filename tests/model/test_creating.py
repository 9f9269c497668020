"""Test that a creation uses the image, the networks and the owners of one moment."""

from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from engine.domain.container.mounts import Bind
from engine.domain.image.removal import NoSuchImage
from engine.domain.image.state import ImageRemoved
from engine.domain.streams import image_stream
from tests.fakes.host import SimulatedHost
from tests.model.simulated_daemon import IMAGE, USER, fresh_world, spec
from tests.model.simulated_machine import CrashPoint


def test_an_image_that_is_removed_while_bind_sources_are_looked_up_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with fresh_world(tmp_path / "world", IMAGE).daemon(CrashPoint()) as daemon:

            async def remove_image(_host: SimulatedHost, _path: str) -> bool:
                await daemon.ledger.record(USER, (image_stream(IMAGE.id), (ImageRemoved(),)))
                return True

            monkeypatch.setattr(SimulatedHost, "path_exists", remove_image)
            source = Bind(source="/srv", destination="/srv", create_source=False)
            bound = replace(spec(), binds=(source,))
            with pytest.raises(NoSuchImage):
                await daemon.containers.create("late", bound, USER)
            assert not daemon.ledger.head.containers

    trio.run(main)
