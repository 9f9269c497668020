"""An OSError in any background loop: the loop says so once and goes on; nothing else notices.

``LOOPS`` has an entry for each member of :class:`Loop`, and every ``while True`` of a task is in
``ENDLESS``, so that a loop without the one root, or without a test here, does not go unnoticed.
"""

import ast
import errno
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

import engine
from engine.background import Loop
from engine.daemon import __main__ as daemon_main
from engine.daemon import notify
from engine.domain.ids import NetworkId, SandboxId
from engine.drivers.lanes import Lanes
from engine.drivers.networks.sandbox import Sandbox
from engine.drivers.networks.sandbox_pool import Attendants, Prepared, SandboxPool
from engine.drivers.resolver.client import Resolver
from engine.drivers.resolver.process import ResolverProcess
from engine.drivers.runs import launcher, monitors
from engine.drivers.storage import trash
from engine.runtime.messages import LOCK_NAME, SOCKET_NAME
from tests.model.simulated_daemon import USER, fresh_world
from tests.model.simulated_kernel import Fuse
from tests.model.test_health import checked

LONG_S = 300.0
"""Virtual: several of the longest delays."""
ATTEMPTS_MIN = 4


@dataclass
class Faulty:
    """Whatever is called here fails as a broken disk would."""

    calls: int = 0

    def __call__(self, *_: object, **__: object) -> NoReturn:
        self.calls += 1
        raise OSError(errno.EIO, "Input/output error")

    async def later(self, *_: object, **__: object) -> NoReturn:
        await trio.lowlevel.checkpoint()
        self()


@dataclass
class Stage:
    """Where a loop runs, and what fails in it."""

    place: Path
    patch: pytest.MonkeyPatch
    fault: Faulty = field(default_factory=Faulty)


Case = Callable[[Stage], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def running(loop: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Run a loop beside the test; an error that gets out of it fails the test."""

    async def run() -> None:
        await loop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def sweep(stage: Stage) -> AsyncIterator[None]:
    async with fresh_world(stage.place / "world").daemon(Fuse()) as daemon:
        stage.patch.setattr(daemon.kernel, "inventory", stage.fault.later)
        yield


@asynccontextmanager
async def health(stage: Stage) -> AsyncIterator[None]:
    world = fresh_world(stage.place / "world")
    async with trio.open_nursery() as world.machine.nursery, world.daemon(Fuse()) as daemon:
        stage.patch.setattr(daemon.supervisor.health, "_judge", stage.fault.later)
        await daemon.containers.create("web", checked(), USER)
        await daemon.containers.start("web", USER)
        yield
        world.machine.nursery.cancel_scope.cancel()


@asynccontextmanager
async def sandbox_pool(stage: Stage) -> AsyncIterator[None]:
    attendants = Attendants(prepared=stage.fault.later, thrown_away=stage.fault.later)
    stage.patch.setattr(Lanes, "run", stage.fault.later)
    pool = SandboxPool(None, Lanes(), attendants, most=8)  # type: ignore[arg-type]  # never reached
    place = Prepared(("10.0.0.2",), lambda made: Sandbox(SandboxId(made)))
    pool.offer(NetworkId("f" * 64), [place])
    async with running(pool.run):
        yield


@asynccontextmanager
async def rubbish(stage: Stage) -> AsyncIterator[None]:
    stage.patch.setattr(Lanes, "run", stage.fault.later)
    removed = trash.Trash(Lanes())
    removed.add(stage.place / "old")
    async with running(removed.run):
        yield


@asynccontextmanager
async def launcher_keeper(stage: Stage) -> AsyncIterator[None]:
    keeper = launcher.Launcher(stage.place, Lanes())
    stage.patch.setattr(launcher, "start_lean", stage.fault)
    async with running(keeper.keep_alive):
        yield
    keeper.close()


@asynccontextmanager
async def resolver_keeper(stage: Stage) -> AsyncIterator[None]:
    keeper = Resolver(stage.place)
    stage.patch.setattr(ResolverProcess, "find", stage.fault.later)
    async with running(keeper.run):
        with pytest.raises(engine.errors.DriverError, match="Input/output error"):
            await keeper.set_all((), ())
        yield


@asynccontextmanager
async def monitor_readers(stage: Stage) -> AsyncIterator[None]:
    """A monitor that is found alive.

    Its connection ends, and then its lock can't be read any more.
    """
    bundle = stage.place / "bundles" / ("c" * 64)
    bundle.mkdir(parents=True)
    lock_fd = os.open(bundle / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock_fd, fcntl.LOCK_EX)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as monitor:
        bundle_fd = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        monitor.bind(f"/proc/self/fd/{bundle_fd}/{SOCKET_NAME}")  # pytest's paths are too long
        os.close(bundle_fd)
        monitor.listen()
        found = monitors.Monitors(bundle.parent, None)  # type: ignore[arg-type]  # nothing is launched
        async with running(found.run):
            assert await found.find() == (bundle.name,)
            stage.patch.setattr(monitors, "monitor_alive", stage.fault)
            monitor.accept()[0].close()
            yield
    os.close(lock_fd)


@asynccontextmanager
async def network_watch(stage: Stage) -> AsyncIterator[None]:
    stage.patch.setattr(daemon_main, "Watch", stage.fault)
    async with running(lambda: daemon_main.watch_network(None)):  # type: ignore[arg-type]  # not reached
        yield


@dataclass
class Images:
    """Images that can't be collected."""

    collect: Callable[[], Awaitable[None]]


@asynccontextmanager
async def image_collector(stage: Stage) -> AsyncIterator[None]:
    images = Images(stage.fault.later)
    async with running(lambda: daemon_main.collect_images(images)):  # type: ignore[arg-type]  # no more than that is used
        yield


@asynccontextmanager
async def watchdog(stage: Stage) -> AsyncIterator[None]:
    stage.patch.setenv("WATCHDOG_USEC", "10000000")
    stage.patch.setenv("WATCHDOG_PID", str(os.getpid()))
    stage.patch.setattr(notify, "notify", stage.fault.later)
    async with running(notify.watchdog):
        yield


LOOPS: dict[Loop, Case] = {
    Loop.SWEEP: sweep,
    Loop.HEALTH: health,
    Loop.SANDBOX_POOL: sandbox_pool,
    Loop.TRASH: rubbish,
    Loop.LAUNCHER: launcher_keeper,
    Loop.RESOLVER: resolver_keeper,
    Loop.MONITORS: monitor_readers,
    Loop.NETWORK_WATCH: network_watch,
    Loop.IMAGE_COLLECTOR: image_collector,
    Loop.WATCHDOG: watchdog,
}


@pytest.mark.parametrize("loop", Loop)
def test_an_error_is_told_once_and_the_loop_goes_on(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, monkeypatch)

    async def main() -> None:
        async with LOOPS[loop](stage):
            await trio.sleep(LONG_S)

    with capture_logs() as said:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    assert stage.fault.calls >= ATTEMPTS_MIN
    problems = [each for each in said if each["log_level"] in ("warning", "error", "critical")]
    assert len(problems) == 1, problems
    if (
        problems[0]["event"] != "removed_directory_not_deleted"
    ):  # a trash that works, but for one directory
        assert problems[0]["event"] == "background_loop_failed"
        assert problems[0]["loop"] == loop
    assert "Input/output error" in f"{problems[0]['error']} {problems[0].get('cause')}"


ENDLESS = {
    "background.py:forever": "the root itself",
    "daemon/__main__.py:listen": "a step of the network watch, which ends with an error",
    "drivers/resolver/client.py:_converse": "a step of the resolver's keeper, which ends when the resolver does",
    "drivers/runs/monitors.py:read": "a step of a connection's reader",
    "drivers/runs/monitors.py:_launch_patiently": "part of a launch, with a deadline",
    "drivers/effects/journals.py:until": "part of an effect, with a deadline",
    "drivers/logs/follow.py:read_log": "part of a request",
}
"""Tasks' loops that no test here runs, and why each of them may do without."""


def test_no_task_has_a_loop_of_its_own() -> None:
    root = Path(engine.__file__).parent
    found = {
        f"{path.relative_to(root)}:{function.name}"
        for pattern in ("background.py", "daemon/**/*.py", "supervisor/**/*.py", "drivers/**/*.py")
        for path in root.glob(pattern)
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.AsyncFunctionDef) and _turns_for_ever(function)
    }

    assert found == ENDLESS.keys()


def _turns_for_ever(function: ast.AsyncFunctionDef) -> bool:
    own = (each for part in function.body for each in _without_functions(part))
    return any(isinstance(each, ast.While) and isinstance(each.test, ast.Constant) for each in own)


def _without_functions(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return []
    children = (each for child in ast.iter_child_nodes(node) for each in _without_functions(child))
    return [node, *children]
