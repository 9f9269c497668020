"""Keep the launcher running, and send it launch orders."""

import os
import resource
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

import structlog
import trio

from engine.background import Backoff, Loop, forever
from engine.domain.ids import ContainerId
from engine.drivers.lanes import Lanes
from engine.drivers.processes.interpreter import (
    END_TIMEOUT_S,
    end_of,
    sealed_interpreter,
    start_lean,
)
from engine.drivers.processes.python_choice import launcher_python
from engine.drivers.runs.run_files import OpenRun
from engine.errors import DriverError
from engine.runtime import messages
from engine.runtime.messages import Message, ProtocolError

READY_TIMEOUT_S: Final = 10.0
"""How long a launcher may take to start: an earlier one may still have to notice that its daemon is
gone; the interpreter starts in 20 ms.
"""
LAUNCH_TIMEOUT_S: Final = 5.0
BACKOFF: Final = Backoff(first_s=0.1, max_s=5.0)
_STABLE_S: Final = 1.0
"""A launcher that has lived this long is restarted at once."""
_ATTEMPTS: Final = 2

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Launched(NamedTuple):
    """A monitor that was forked; the receiver closes the descriptors."""

    pid: int
    pidfd: int
    control: socket.socket


class _Gone(Exception):
    """The launcher does not answer any more."""


class Launcher:
    """Owns the one launcher process. Its monitors don't depend on it."""

    def __init__(
        self, exec_root: Path, lanes: Lanes, descriptors: tuple[int, int] | None = None
    ) -> None:
        """Prepare, without starting a process.

        ``descriptors`` are soft and hard RLIMIT_NOFILE for launched processes; None for our own.
        """
        self._descriptors = descriptors or resource.getrlimit(resource.RLIMIT_NOFILE)
        self._lanes = lanes
        self._lock_path = exec_root / "launcher.lock"
        self._interpreter_fd = sealed_interpreter(launcher_python())
        self._turn = trio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: trio.socket.SocketType | None = None

    @property
    def pid(self) -> int | None:
        """Return the launcher's pid while it runs."""
        return self._process.pid if self._process is not None else None

    async def launch(
        self,
        container: ContainerId,
        open_run: Callable[[], OpenRun],
        clients: Sequence[socket.socket] = (),
    ) -> Launched:
        """Fork a monitor for a container's run.

        The monitor gets copies of the clients' sockets, which the caller closes. ``open_run``
        blocks; its order has one attachment for each socket.

        When the launcher dies meanwhile, a new one is asked once more, unless a monitor exists
        already.

        Raises:
            BundleLocked: the bundle has a monitor.
            RunHasHappened: it had one, for this run.
            DriverError: the launcher fails.
        """
        client_fds = [client.fileno() for client in clients]
        for _ in range(_ATTEMPTS):
            # Opened for each attempt: the lock shows whether the attempt before has left a monitor.
            run = await self._lanes.run_for(container, open_run, discard=OpenRun.close)
            with suppress(_Gone), closing(run):
                fds = [*run.files, *run.joined_fds, *client_fds]
                return await self._launch(run.order.to_message(), fds)
        raise DriverError(f"launch {container}: the launcher keeps dying")

    async def start(self) -> None:
        """Start the launcher before it is needed.

        Raises:
            DriverError: it does not start.
        """
        async with self._turn:
            await self._ready()

    async def keep_alive(self) -> None:
        """Restart the launcher whenever it has died, so that no launch has to wait for it. Runs
        until cancelled.
        """
        await forever(Loop.LAUNCHER, self._run_once, BACKOFF)

    async def _run_once(self) -> None:
        began = trio.current_time()
        await self._wait_for_end()
        lasted_s = trio.current_time() - began
        if lasted_s < _STABLE_S:
            raise DriverError("the launcher dies soon after its start")

    async def _wait_for_end(self) -> None:
        async with self._turn:
            await self._ready()
            assert self._process is not None
            pidfd = os.pidfd_open(self._process.pid)
        try:
            await trio.lowlevel.wait_readable(pidfd)
        finally:
            trio.lowlevel.notify_closing(pidfd)
            os.close(pidfd)
        async with self._turn:
            if self._process is not None and self._process.poll() is not None:
                log.warning("launcher_died", pid=self._process.pid)
                await self._discard()

    def close(self) -> None:
        """Let the launcher end.

        Its monitors keep running. The daemon ends too, so this may block for a moment.
        """
        process = self._kill()
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_TIMEOUT_S)
        os.close(self._interpreter_fd)

    async def _launch(self, request: Message, fds: list[int]) -> Launched:
        async with self._turn:
            await self._ready()
            try:
                return await self._launch_in_turn(request, fds)
            except _Gone:
                await self._discard()
                raise

    async def _launch_in_turn(self, request: Message, fds: list[int]) -> Launched:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ExitStack() as undo:
            undo.callback(ours.close)
            with theirs:
                reply, received = await self._ask(request, [theirs.fileno(), *fds])
            if "error" in reply or len(received) != 1:
                messages.close_all(received)
                raise DriverError(f"launch {request['bundle']}: {reply.get('error')}")
            undo.pop_all()
            return Launched(reply["pid"], received[0], ours)

    async def _ask(self, request: Message, fds: list[int]) -> tuple[Message, list[int]]:
        assert self._socket is not None
        try:
            with trio.fail_after(LAUNCH_TIMEOUT_S):
                await self._socket.sendmsg(
                    [messages.encode(request)], messages.rights(fds), socket.MSG_NOSIGNAL
                )
                return await self._reply()
        except (OSError, trio.TooSlowError, ProtocolError) as error:
            raise _Gone from error
        except trio.Cancelled:
            await self._discard()  # the reply to this request must not become the next one's
            raise

    async def _reply(self) -> tuple[Message, list[int]]:
        assert self._socket is not None
        packet, ancillary, flags, _ = await self._socket.recvmsg(
            messages.PACKET_BYTES_MAX, messages.ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
        )
        received = messages.unpack(packet, ancillary, flags)
        if received is None:
            raise _Gone
        return received

    async def _ready(self) -> None:
        if self._process is not None and self._process.poll() is None:
            return
        await self._discard()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        messages.widen(ours)
        self._socket = trio.socket.from_stdlib_socket(ours)
        with theirs:
            fd = theirs.fileno()
            try:
                self._process = start_lean(
                    launcher_python(),
                    self._interpreter_fd,
                    "engine.runtime.launcher",
                    [str(fd), str(self._lock_path)],
                    [fd],
                )
                if self._descriptors != resource.getrlimit(resource.RLIMIT_NOFILE):
                    resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, self._descriptors)
            except OSError as error:
                raise DriverError("start the launcher") from error
        try:
            with trio.fail_after(READY_TIMEOUT_S):
                await self._reply()
        except (_Gone, OSError, ProtocolError, trio.TooSlowError) as error:
            await self._discard()
            raise DriverError("the launcher does not start") from error

    async def _discard(self) -> None:
        """Kill the launcher and reap it."""
        process = self._kill()
        if process is not None:
            await end_of(process)

    def _kill(self) -> subprocess.Popen[bytes] | None:
        """Close the socket and kill the launcher.

        A late reply must not be taken for the next launcher's.
        """
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        process, self._process = self._process, None
        if process is not None:
            process.kill()
        return process
