"""Talk to monitors: one connection each, opened at launch or found after a restart.

::

    Monitors ──request──▶ _Connection ──▶ monitor
        wake(id) ◀─ hint ─┤ one reader task each
        reply   ◀─────────┘ in the order of the requests

A hint only says that the journal has grown. The end of a connection is a hint, too; then the
monitor is connected to again if it is alive. Streams never pass through here: a client's socket is
sent to the monitor as a descriptor.
"""

import math
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from engine.background import Loop, until_done
from engine.domain.ids import ContainerId
from engine.drivers.listing import names_in
from engine.drivers.processes.identity import monitor_alive
from engine.drivers.runs.launcher import Launched, Launcher
from engine.drivers.runs.run_files import BundleLocked, OpenRun, RunHasHappened
from engine.errors import DriverError
from engine.runtime import messages
from engine.runtime.messages import Attachment, ExecOrder, Message, ProbeOrder, ProtocolError

REQUEST_TIMEOUT_S: Final = 5.0
"""A monitor answers within a millisecond; one that is stopped or swapped out must delay only its
own container.
"""
LOCK_PATIENCE_S: Final = 0.2
_LOCK_RETRY_S: Final = 0.005
ENDING_PATIENCE_S: Final = 2.0
"""How long a monitor that can't be reached may still be about to end."""
_ARRIVALS_MAX: Final = 64
"""Connections whose reader is about to start; more than one at a time only when a daemon finds its
monitors after a restart.
"""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class _Pending:
    """A request whose reply is awaited."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.reply: Message | None = None


class _Connection:
    """One control connection; its reader task owns the socket's reading side."""

    def __init__(self, container: ContainerId, control: socket.socket) -> None:
        messages.widen(control)
        self.container = container
        self._control = control
        self._socket = trio.socket.from_stdlib_socket(control)
        self._sending = trio.Lock()
        self._pending: deque[_Pending] = deque()
        self.closed = False

    async def ask(
        self, request: Message, fds: Sequence[int] = (), patience_s: float = REQUEST_TIMEOUT_S
    ) -> Message:
        """Send a request and wait for its reply.

        Raises:
            DriverError: no answer came in time; the connection is closed then.
        """
        pending = _Pending()
        try:
            with trio.fail_after(patience_s):
                await self._send(pending, request, fds)
                # once sent, the reply will come, whether it is awaited or not
                await pending.done.wait()
        except ProtocolError as error:
            raise DriverError(f"{request.get('op')}: {error}") from error
        except (OSError, trio.TooSlowError, trio.ClosedResourceError) as error:
            self.close()
            raise DriverError(f"the monitor of {self.container} does not answer") from error
        if pending.reply is None:
            raise DriverError(f"the monitor of {self.container} is gone")
        return pending.reply

    async def _send(self, pending: _Pending, request: Message, fds: Sequence[int]) -> None:
        packet, rights = messages.encode(request), messages.rights(tuple(fds))
        async with self._sending:
            self._pending.append(pending)
            try:
                await self._socket.sendmsg([packet], rights, socket.MSG_NOSIGNAL)
            except BaseException:  # not sent, so there will be no reply
                with suppress(ValueError):
                    self._pending.remove(pending)
                raise

    def send_unanswered(self, request: Message) -> None:
        """Send a request without waiting for its reply; drop it if it can't be sent at once."""
        if self._sending.locked():
            return
        with suppress(OSError):
            self._control.send(messages.encode(request), socket.MSG_NOSIGNAL)
            self._pending.append(_Pending())

    async def read(self, wake: Callable[[ContainerId], None]) -> None:
        """Receive hints and replies until either side closes."""
        with suppress(OSError, ProtocolError, trio.ClosedResourceError):
            while True:
                packet = await self._socket.recv(messages.PACKET_BYTES_MAX)
                if not packet:
                    break
                message = messages.decode(packet)
                if "journal" in message:
                    wake(self.container)
                elif self._pending:
                    self._answer(self._pending.popleft(), message)
        self.close()

    def _answer(self, pending: _Pending, reply: Message | None) -> None:
        pending.reply = reply
        pending.done.set()

    def close(self) -> None:
        """Close; requests that wait for a reply fail."""
        self.closed = True
        self._socket.close()
        while self._pending:
            self._answer(self._pending.popleft(), None)


class Monitors:
    """All monitors of one daemon, by container."""

    def __init__(self, bundles: Path, launcher: Launcher) -> None:
        """``bundles`` is the directory of all bundles."""
        self._bundles = bundles
        self._launcher = launcher
        self._followers: list[Callable[[ContainerId], None]] = []
        self._connections: dict[ContainerId, _Connection] = {}
        self._arriving, self._arrivals = trio.open_memory_channel[_Connection](_ARRIVALS_MAX)

    def follow(self, follower: Callable[[ContainerId], None]) -> None:
        """Add a function that is called with each container whose journal may have grown.

        Followers are called in the order in which they were added.
        """
        self._followers.append(follower)

    def _wake(self, container: ContainerId) -> None:
        for follower in self._followers:
            follower(container)

    async def run(self) -> None:
        """Read from every connection until cancelled; the monitors keep running."""
        try:
            async with trio.open_nursery() as readers:
                async for connection in self._arrivals:
                    read = partial(self._read, connection)
                    readers.start_soon(until_done, Loop.MONITORS, read)
        finally:
            for connection in list(self._connections.values()):
                connection.close()

    async def launch(
        self,
        container: ContainerId,
        open_run: Callable[[], OpenRun],
        clients: Sequence[socket.socket] = (),
    ) -> int | None:
        """Start a container's monitor and connect to it; return its pid. The journal records what
        becomes of the run.

        A run is launched once: if it has a monitor or has had one, nothing is done and None is
        returned. The caller closes the clients' sockets in any case.

        Raises:
            DriverError: there is no monitor.
        """
        try:
            launched = await self._launch_patiently(container, open_run, clients)
        except RunHasHappened:
            return None
        except BundleLocked:
            await self._connection(container)
            return None
        os.close(launched.pidfd)  # its end is the end of the connection
        await self._adopt(container, launched.control)
        return launched.pid

    async def _launch_patiently(
        self,
        container: ContainerId,
        open_run: Callable[[], OpenRun],
        clients: Sequence[socket.socket],
    ) -> Launched:
        """Launch a monitor; retry while the bundle is locked, because the previous run's monitor
        may be about to end.
        """
        deadline = trio.current_time() + LOCK_PATIENCE_S
        while True:
            try:
                return await self._launcher.launch(container, open_run, clients)
            except BundleLocked:
                if trio.current_time() >= deadline:
                    raise
                await trio.sleep(_LOCK_RETRY_S)

    async def find(self) -> tuple[ContainerId, ...]:
        """Connect to every monitor that is alive, after a restart of the daemon; return their
        containers.
        """
        return tuple(
            [each for each in map(ContainerId, names_in(self._bundles)) if await self._found(each)]
        )

    async def _found(self, container: ContainerId) -> bool:
        """Connect to a container's monitor if it is alive.

        If that can't be determined, the container's worker will deal with it.
        """
        try:
            if not monitor_alive(self._bundles / container):
                return False
        except DriverError as error:
            log.warning("monitor_not_found", container_id=container, error=str(error))
            return False
        with suppress(DriverError):  # it is ending: its journal says how
            await self._connection(container)
        return True

    async def attach(
        self,
        container: ContainerId,
        attachment: Attachment,
        client: socket.socket,
        barrier_fd: int | None = None,
    ) -> None:
        """Hand a client's socket to a container's monitor, with a barrier if the client has to
        wait; the caller closes its copies.

        Raises:
            DriverError: the monitor does not take it: the container has exited.
        """
        request = {"op": "attach", **attachment.to_message()}
        barrier = [] if barrier_fd is None else [barrier_fd]
        await self._order(container, request, [client.fileno(), *barrier])

    async def start_exec(
        self, container: ContainerId, order: ExecOrder, client: socket.socket | None = None
    ) -> bool:
        """Order an exec; return False if the monitor had this order before. The journal records the
        outcome.

        Raises:
            DriverError: the monitor does not take it.
        """
        fds = [] if client is None else [client.fileno()]
        reply = await self._order(container, order.to_message(), fds)
        return not reply.get("known", False)

    async def start_probe(
        self, container: ContainerId, order: ProbeOrder, answer: socket.socket
    ) -> None:
        """Order a health check's process; its result comes through the other end of ``answer``.

        There is no time limit here: the caller limits the wait, and a stopped monitor is no reason
        to close the connection.

        Raises:
            DriverError: the monitor does not take it.
        """
        await self._order(container, order.to_message(), [answer.fileno()], math.inf)

    def forget_facts(self, container: ContainerId, taken: int) -> None:
        """Ask the monitor to shorten its journal by the records that the log has; without a
        connection do nothing: a later call asks again.
        """
        if (connection := self._connections.get(container)) is not None:
            connection.send_unanswered({"op": "forget", "taken": taken})

    def is_alive(self, container: ContainerId) -> bool:
        """True if a container has a monitor."""
        return monitor_alive(self._bundles / container)

    async def resize(
        self, container: ContainerId, exec_id: str | None, *, height: int, width: int
    ) -> None:
        """Set the size of a terminal, in characters.

        Raises:
            DriverError: there is no such terminal.
        """
        request = {"op": "resize", "exec_id": exec_id, "height": height, "width": width}
        await self._order(container, request)

    async def signal(self, container: ContainerId, order: int, signum: int) -> None:
        """Send a signal to the first process through the monitor, which ignores an order that it
        has already carried out.

        Raises:
            DriverError: the monitor does not answer.
        """
        await self._order(container, {"op": "signal", "order": order, "signum": signum})

    def forget(self, container: ContainerId) -> None:
        """Close the connection to a monitor that is not needed any more."""
        if (connection := self._connections.pop(container, None)) is not None:
            connection.close()

    async def _order(
        self,
        container: ContainerId,
        request: Message,
        fds: Sequence[int] = (),
        patience_s: float = REQUEST_TIMEOUT_S,
    ) -> Message:
        connection = await self._connection(container)
        reply = await connection.ask(request, fds, patience_s)
        if "error" in reply:
            raise DriverError(f"{request['op']}: {reply['error']}")
        return reply

    async def _connection(self, container: ContainerId) -> _Connection:
        connection = self._connections.get(container)
        if connection is not None and not connection.closed:
            return connection
        return await self._adopt(container, await _connect(self._bundles / container))

    async def _adopt(self, container: ContainerId, control: socket.socket) -> _Connection:
        connection = _Connection(container, control)
        self.forget(container)
        self._connections[container] = connection
        await self._arriving.send(connection)
        return connection

    async def _read(self, connection: _Connection) -> None:
        await connection.read(self._wake)
        if self._connections.get(connection.container) is not connection:
            return
        del self._connections[connection.container]
        await until_done(Loop.MONITORS, partial(self._find_again, connection.container))
        self._wake(connection.container)

    async def _find_again(self, container: ContainerId) -> None:
        """Connect to a monitor whose connection has ended, or wait until it has released its lock.

        The kernel closes the descriptors of a killed process one after the other, so for some
        milliseconds it can be unreachable and yet hold its lock; without the wait its end would not
        be noticed.
        """
        with trio.move_on_after(ENDING_PATIENCE_S), suppress(DriverError):
            while monitor_alive(self._bundles / container):
                try:
                    await self._connection(container)
                except DriverError:
                    await trio.sleep(_LOCK_RETRY_S)
                else:
                    log.warning("monitor_connection_lost", container_id=container)
                    return


async def _connect(bundle: Path) -> socket.socket:
    """Connect to a monitor's socket, by a short path: an address has 108 bytes, unix(7)."""
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.setblocking(False)
    try:
        directory_fd = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            control.connect(f"/proc/self/fd/{directory_fd}/{messages.SOCKET_NAME}")
        finally:
            os.close(directory_fd)
    except OSError as error:
        control.close()
        raise DriverError(f"the monitor of {bundle.name} can't be reached") from error
    return control
