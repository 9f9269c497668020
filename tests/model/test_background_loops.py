"""Test an OSError in each background loop: the loop logs it once and goes on, and nothing else is
affected.

``LOOPS`` has an entry for each member of :class:`Loop`, and every ``while True`` of a task is in
``ENDLESS``, so that a loop without the common root, or without a test here, is noticed.
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
from engine.drivers.networks.sandbox_pool import PoolCallbacks, Prepared, SandboxPool
from engine.drivers.resolver.client import Resolver
from engine.drivers.resolver.process import ResolverProcess
from engine.drivers.runs import launcher, monitors
from engine.drivers.storage import trash
from engine.runtime.messages import LOCK_NAME, SOCKET_NAME
from tests.model.simulated_daemon import IMAGE, USER, fresh_world
from tests.model.simulated_machine import CrashPoint
from tests.model.test_health import checked

LONG_S = 300.0
"""Virtual time: several of the longest delays."""
ATTEMPTS_MIN = 4


@dataclass
class Faulty:
    """Every method fails as with a broken disk."""

    calls: int = 0

    def __call__(self, *_: object, **__: object) -> NoReturn:
        self.calls += 1
        raise OSError(errno.EIO, "Input/output error")

    async def later(self, *_: object, **__: object) -> NoReturn:
        await trio.lowlevel.checkpoint()
        self()


@dataclass
class Setup:
    """A directory for a loop, and the fault that is injected into it."""

    place: Path
    patch: pytest.MonkeyPatch
    fault: Faulty = field(default_factory=Faulty)


Case = Callable[[Setup], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def running(loop: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Run a loop beside the test; an error that leaves it fails the test."""

    async def run() -> None:
        await loop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def sweep(setup: Setup) -> AsyncIterator[None]:
    async with fresh_world(setup.place / "world", IMAGE).daemon(CrashPoint()) as daemon:
        setup.patch.setattr(daemon.kernel, "inventory", setup.fault.later)
        yield


@asynccontextmanager
async def health(setup: Setup) -> AsyncIterator[None]:
    world = fresh_world(setup.place / "world", IMAGE)
    async with trio.open_nursery() as world.machine.nursery, world.daemon(CrashPoint()) as daemon:
        setup.patch.setattr(daemon.supervisor.health, "_record_result", setup.fault.later)
        await daemon.containers.create("web", checked(), USER)
        await daemon.containers.start("web", USER)
        yield
        world.machine.nursery.cancel_scope.cancel()


@asynccontextmanager
async def sandbox_pool(setup: Setup) -> AsyncIterator[None]:
    callbacks = PoolCallbacks(after_creation=setup.fault.later, before_removal=setup.fault.later)
    setup.patch.setattr(Lanes, "run", setup.fault.later)
    pool = SandboxPool(None, Lanes(), callbacks, most=8)  # type: ignore[arg-type]  # never reached
    place = Prepared(("10.0.0.2",), lambda made: Sandbox(SandboxId(made)))
    pool.offer(NetworkId("f" * 64), [place])
    async with running(pool.run):
        yield


@asynccontextmanager
async def rubbish(setup: Setup) -> AsyncIterator[None]:
    setup.patch.setattr(Lanes, "run", setup.fault.later)
    removed = trash.Trash(Lanes())
    removed.add(setup.place / "old")
    async with running(removed.run):
        yield


@asynccontextmanager
async def launcher_keeper(setup: Setup) -> AsyncIterator[None]:
    keeper = launcher.Launcher(setup.place, Lanes())
    setup.patch.setattr(launcher, "start_lean", setup.fault)
    async with running(keeper.keep_alive):
        yield
    keeper.close()


@asynccontextmanager
async def resolver_keeper(setup: Setup) -> AsyncIterator[None]:
    keeper = Resolver(setup.place)
    setup.patch.setattr(ResolverProcess, "find", setup.fault.later)
    async with running(keeper.run):
        with pytest.raises(engine.errors.DriverError, match="Input/output error"):
            await keeper.set_all((), ())
        yield


@asynccontextmanager
async def monitor_readers(setup: Setup) -> AsyncIterator[None]:
    """Find a monitor that is alive.

    Its connection ends, and then its lock can't be read any more.
    """
    bundle = setup.place / "bundles" / ("c" * 64)
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
            setup.patch.setattr(monitors, "monitor_alive", setup.fault)
            monitor.accept()[0].close()
            yield
    os.close(lock_fd)


@asynccontextmanager
async def network_watch(setup: Setup) -> AsyncIterator[None]:
    setup.patch.setattr(daemon_main, "Watch", setup.fault)
    async with running(lambda: daemon_main.watch_network(None)):  # type: ignore[arg-type]  # not reached
        yield


@dataclass
class Images:
    """Images that can't be collected."""

    collect: Callable[[], Awaitable[None]]


@asynccontextmanager
async def image_collector(setup: Setup) -> AsyncIterator[None]:
    images = Images(setup.fault.later)
    async with running(lambda: daemon_main.collect_images(images)):  # type: ignore[arg-type]  # no more than that is used
        yield


@asynccontextmanager
async def watchdog(setup: Setup) -> AsyncIterator[None]:
    setup.patch.setenv("WATCHDOG_USEC", "10000000")
    setup.patch.setenv("WATCHDOG_PID", str(os.getpid()))
    setup.patch.setattr(notify, "notify", setup.fault.later)
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
def test_an_error_is_logged_once_and_the_loop_goes_on(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = Setup(tmp_path, monkeypatch)

    async def main() -> None:
        async with LOOPS[loop](setup):
            await trio.sleep(LONG_S)

    with capture_logs() as said:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    assert setup.fault.calls >= ATTEMPTS_MIN
    problems = [each for each in said if each["log_level"] in ("warning", "error", "critical")]
    assert len(problems) == 1, problems
    if (
        problems[0]["event"] != "removed_directory_not_deleted"
    ):  # a trash that works, except for one directory
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
"""Loops of tasks that no test here runs, and why each of them needs none."""


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
