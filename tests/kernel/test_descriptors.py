"""Test EMFILE at each position.

Code that fails half-way closes the descriptors that it had opened.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import trio

from engine.domain import naming
from engine.domain.container.phases import Phase
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ImageId
from engine.drivers.lanes import Lanes
from engine.drivers.logs.follow import _Growth
from engine.drivers.logs.replay import Barrier
from engine.drivers.networks.watch import Watch
from engine.drivers.processes.interpreter import sealed_interpreter
from engine.drivers.processes.python_choice import own_python
from engine.drivers.streams import LinuxStreams
from engine.errors import DriverError
from engine.ports.streams import LogOptions
from engine.runtime.children import Child, Failure
from engine.runtime.loop import Loop
from engine.runtime.streams import Stdio
from tests.harness.descriptor_limit import assert_nothing_leaks, open_descriptors


class Noted:
    """Records the events of a child."""

    def __init__(self) -> None:
        self.over = False

    def started(self, child: Child) -> None:
        """The report ends empty, as if execve(2) had been called."""

    def failed(self, child: Child, failure: Failure) -> None:
        self.over = True

    def exited(self, child: Child, status: int) -> None:
        self.over = True


def end_at_once(
    stdio: tuple[int, int, int] | None, report_fd: int, console_socket: int | None
) -> NoReturn:
    os._exit(0)


def give_birth(*, tty: bool, pipes: tuple[bool, bool], cgroup: str = "") -> None:
    """Start a child, and wait until it ends."""
    loop, noted = Loop(), Noted()
    try:
        stdio = Stdio(loop, tty=tty, closes_input=True, sink=None, detached=lambda *_: None)
        Child(loop, stdio, end_at_once, noted, pipes=pipes, cgroup=cgroup)
        while not noted.over:
            loop.run_once()
        stdio.drain()
    finally:
        loop.close()


@pytest.mark.parametrize("pipes", [(True, True), (False, True), (False, False)])
def test_a_child_with_pipes(pipes: tuple[bool, bool]) -> None:
    assert assert_nothing_leaks(lambda: give_birth(tty=False, pipes=pipes)) > 2


def test_a_child_with_a_terminal() -> None:
    assert assert_nothing_leaks(lambda: give_birth(tty=True, pipes=(False, False))) > 2


def interpreter() -> None:
    os.close(sealed_interpreter(own_python()))


def watch() -> None:
    Watch().close()


def barrier() -> None:
    with Barrier():
        pass


@pytest.mark.parametrize("act", [interpreter, watch, barrier])
def test_what_opens_several(act: Callable[[], None]) -> None:
    assert assert_nothing_leaks(act, DriverError) > 1


def test_a_log_that_is_followed(tmp_path: Path) -> None:
    def act() -> None:
        with pytest.raises(DriverError):
            _Growth(tmp_path / "missing" / "json.log").__enter__()

    assert_nothing_leaks(act)


def test_a_reader_of_logs_that_goes_away_leaves_nothing_open(tmp_path: Path) -> None:
    identity = ContainerId("c" * 64)
    spec = Spec(image="busybox", image_id=ImageId("sha256:1"))
    container = Container(id=identity, name="web", spec=spec, created_ns=1, phase=Phase.EXITED)
    log = naming.log_path(tmp_path, identity)
    log.parent.mkdir(parents=True)
    line = '{"log":"a line\\n","stream":"stdout","time":"2026-11-20T10:00:00.000000000Z"}\n'
    log.write_text(line)
    streams = LinuxStreams(
        data_root=tmp_path,
        lanes=Lanes(),
        monitors=None,  # type: ignore[arg-type]  # no client attaches
        connections=None,  # type: ignore[arg-type]
        cgroups=None,  # type: ignore[arg-type]
    )

    async def main() -> None:
        before = open_descriptors()
        blocks = streams.logs(container, LogOptions(follow=True), trio.Event())
        assert await anext(blocks)
        assert open_descriptors() > before

        await blocks.aclose()

        assert open_descriptors() == before

    trio.run(main)
