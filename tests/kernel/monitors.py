"""Run real launchers and monitors with bundles that hold nothing but a static busybox, for tests of
processes' lives.
"""

import json
import os
import secrets
import select
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from engine.domain.ids import ContainerId
from engine.drivers.lanes import Lanes
from engine.drivers.processes.identity import boot_id
from engine.drivers.runs.journal import JournalReader
from engine.drivers.runs.launch_orders import PlannedRun
from engine.drivers.runs.launcher import Launcher
from engine.drivers.runs.monitors import Monitors
from engine.drivers.runs.run_files import OpenRun
from engine.runtime.bundle import LogSettings
from engine.runtime.facts import Fact, MonitorBegan, ProcessStarted
from engine.runtime.messages import Attachment, ExecOrder, LaunchOrder

BUSYBOX: Final = Path("/bin/busybox")
APPLETS: Final = (
    "sh",
    "cat",
    "true",
    "sleep",
    "dd",
    "head",
    "yes",
    "stty",
    "seq",
    "kill",
    "printf",
    "wc",
)
PATIENCE_S: Final = 10.0
"""Longer than any expected event takes."""
ALL_STREAMS: Final = {"stdin": True, "stdout": True, "stderr": True}


class RuntimeUnderTest:
    """A launcher and its monitors, with directories for bundles, journals and logs."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.bundles = place / "bundles"
        self.rootfs = _make_rootfs(place / "layer")
        self.launcher = Launcher(place, Lanes())
        self.woken: list[ContainerId] = []
        self.clients: list[Client] = []
        self.exec_ids: list[str] = []
        self._orders: dict[ContainerId, LaunchOrder] = {}
        self._runs: dict[ContainerId, int] = {}
        self._wakes: dict[ContainerId, trio.Event] = {}
        self.monitors = Monitors(self.bundles, self.launcher)
        self.monitors.follow(self.wake)

    def wake(self, container: ContainerId) -> None:
        self.woken.append(container)
        self._wakes.pop(container, trio.Event()).set()

    def bundle(self, *args: str, **options: Any) -> ContainerId:
        """Make a container's bundle, and plan its first run; ``options`` are the launch order's."""
        container = ContainerId(secrets.token_hex(32))
        directory = self.bundles / container
        (directory / "rootfs").mkdir(parents=True)
        for name in ("upper", "work"):
            (self.data(container) / name).mkdir(parents=True)
        tty = options.get("tty", False)
        config = {
            "process": process(*args, terminal=tty),
            "root": {"path": str(directory / "rootfs")},
            "mounts": _MOUNTS,
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "uts", "ipc")]},
        }
        monitor: dict[str, Any] = {
            "overlay": {
                "lower": [str(self.rootfs)],
                "upper": str(self.data(container) / "upper"),
                "work": str(self.data(container) / "work"),
            },
            "cgroup_procs": [],
            "seccomp_path": None,
        }
        self._orders[container] = LaunchOrder(
            bundle=str(directory),
            boot_id=boot_id(),
            tty=tty,
            open_stdin=options.get("open_stdin", False),
            stdin_once=options.get("stdin_once", False),
            namespaces=[{"type": "pid"}],
            cgroup_into="",
            cgroup_procs=[],
            oom_counters=options.get("oom_counters", []),
            attachments=[],
            log=LogSettings(is_kept=True, path=str(self.log_path(container)))
            | options.get("log", {}),
        )
        (directory / "config.json").write_text(json.dumps(config))
        (directory / "monitor.json").write_text(json.dumps(monitor))
        return container

    def next_run(self, container: ContainerId, run: int) -> None:
        """Plan another run for an existing bundle."""
        self._runs[container] = run

    def opens_run(self, container: ContainerId, *attachments: Attachment) -> Callable[[], OpenRun]:
        """Return the function that a launch calls to open the files of a container's run."""
        planned = PlannedRun(self._orders[container], self.journal_path(container))
        return partial(OpenRun, planned, attachments)

    async def launch(self, container: ContainerId) -> int | None:
        """Launch a container's run, without clients."""
        return await self.monitors.launch(container, self.opens_run(container))

    async def run(self, *args: str, **options: Any) -> ContainerId:
        """Launch a container without clients, and return when its program runs."""
        container = self.bundle(*args, **options)
        await self.launch(container)
        await self.record(container, ProcessStarted)
        return container

    def data(self, container: ContainerId) -> Path:
        return self.place / "containers" / container

    def log_path(self, container: ContainerId) -> Path:
        return self.data(container) / "json.log"

    def journal_path(self, container: ContainerId) -> Path:
        return self.data(container) / f"journal.{self._runs.get(container, 1)}"

    def journal(self, container: ContainerId) -> tuple[Fact, ...]:
        return JournalReader(self.journal_path(container)).read()

    def log(self, container: ContainerId) -> str:
        records = self.log_path(container).read_bytes().splitlines()
        return "".join(json.loads(record)["log"] for record in records)

    async def record(self, container: ContainerId, wanted: Callable[[Fact], bool] | type) -> Any:
        """Wait for a record, woken by hints."""
        with trio.fail_after(PATIENCE_S):
            while True:
                woken = self._wakes.setdefault(container, trio.Event())
                for record in self.journal(container):
                    if isinstance(record, wanted) if isinstance(wanted, type) else wanted(record):
                        return record
                await woken.wait()

    async def next_hint(self, container: ContainerId) -> None:
        """Return when the daemon would look at the journal."""
        await self._wakes.setdefault(container, trio.Event()).wait()

    def _client(self) -> "Client":
        self.clients.append(Client())
        return self.clients[-1]

    async def attach(self, container: ContainerId, **options: Any) -> "Client":
        client = self._client()
        with client.theirs:
            await self.monitors.attach(
                container,
                Attachment(options.pop("attach_id", "a"), **(options or ALL_STREAMS)),
                client.theirs,
            )
        return client

    async def launch_attached(self, container: ContainerId, **options: Any) -> "Client":
        client = self._client()
        with client.theirs:
            attachment = Attachment(options.pop("attach_id", "a"), **(options or ALL_STREAMS))
            open_run = self.opens_run(container, attachment)
            await self.monitors.launch(container, open_run, [client.theirs])
        return client

    async def exec(self, container: ContainerId, *args: str, **options: Any) -> "Client":
        client = self._client()
        exec_id = options.pop("exec_id", None) or secrets.token_hex(8)
        tty = options.pop("tty", False)
        order = ExecOrder(
            exec_id,
            process(*args, terminal=tty),
            tty,
            Attachment(exec_id, **(options or ALL_STREAMS)),
        )
        client.exec_id = exec_id
        self.exec_ids.append(exec_id)
        with client.theirs:
            await self.monitors.start_exec(container, order, client.theirs)
        return client


class Client:
    """A client's end of an attachment."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.exec_id = ""

    async def read(self, enough: bytes | None = None) -> bytes:
        """Return what comes, until ``enough`` has been seen or the end."""
        seen = b""
        with trio.fail_after(PATIENCE_S):
            while enough is None or enough not in seen:
                await trio.lowlevel.wait_readable(self.ours)
                block = self.ours.recv(1 << 16)
                if not block:
                    break
                seen += block
        return seen

    async def send(self, typed: bytes) -> None:
        with trio.fail_after(PATIENCE_S):
            while typed:
                await trio.lowlevel.wait_writable(self.ours)
                typed = typed[self.ours.send(typed) :]

    def half_close(self) -> None:
        self.ours.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.ours.close()


@asynccontextmanager
async def runtime_under_test(place: Path) -> AsyncIterator[RuntimeUnderTest]:
    """Run one; processes that still live at the end are killed and reaped."""
    runtime = RuntimeUnderTest(place)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.monitors.run)
            yield runtime
            nursery.cancel_scope.cancel()
    finally:
        for client in runtime.clients:
            client.close()
        runtime.launcher.close()
        for container in runtime.bundles.iterdir() if runtime.bundles.exists() else ():
            for record in runtime.journal(ContainerId(container.name)):
                if isinstance(record, MonitorBegan):
                    end_process(record.pid)
        shutil.rmtree(place, ignore_errors=True)


def end_process(pid: int) -> None:
    """Kill a process and wait until it is gone or a zombie."""
    try:
        pidfd = os.pidfd_open(pid)
        os.kill(pid, 9)
    except ProcessLookupError:
        return
    wait_ended(pidfd)
    os.close(pidfd)


def wait_ended(pidfd: int) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(PATIENCE_S * 1000), "a process does not end"


def descriptors(pid: int) -> list[str]:
    return [fd.name for fd in Path(f"/proc/{pid}/fd").iterdir()]


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def link(path: str) -> str:
    return str(Path(path).readlink())


def open_descriptors(pid: int) -> int:
    return len(descriptors(pid))


def process(*args: str, terminal: bool = False) -> Any:
    return {
        "terminal": terminal,
        "user": {"uid": 0, "gid": 0},
        "args": list(args),
        "env": ["PATH=/bin", "HOME=/"],
        "cwd": "/",
        "capabilities": {},
        "rlimits": [],
    }


def _make_rootfs(layer: Path) -> Path:
    (layer / "bin").mkdir(parents=True)
    for name in ("proc", "dev", "etc"):
        (layer / name).mkdir()
    shutil.copy(BUSYBOX, layer / "bin" / "busybox")
    for applet in APPLETS:
        (layer / "bin" / applet).symlink_to("busybox")
    return layer


_MOUNTS: Final = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": []},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["newinstance", "ptmxmode=0666", "mode=0620"],
    },
]


def with_runtime(
    test: Callable[[RuntimeUnderTest], Awaitable[None]],
) -> Callable[[Path], None]:
    """Run a test with a launcher of its own, below trio."""

    def run(tmp_path: Path) -> None:
        async def main() -> None:
            async with runtime_under_test(tmp_path) as runtime:
                await test(runtime)

        try:
            trio.run(main)
        except BaseExceptionGroup as group:
            raise innermost(group) from None

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run


def innermost(error: BaseException) -> BaseException:
    """Return the one error that an exception group was made for, or the group if it has several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
