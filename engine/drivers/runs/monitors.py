"""Talk to monitors: one connection each, opened at launch or found after a restart.

::

    Monitors ──request──▶ _Connection ──▶ monitor
        wake(id) ◀─ hint ─┤ one reader task each
        reply   ◀─────────┘ in the order of the requests

A hint says only that the journal has grown; so does the end of a connection, after which the
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
from engine.drivers.runs.joined_namespaces import NamespaceOwners
from engine.drivers.runs.launcher import Launched, Launcher
from engine.drivers.runs.run_files import BundleLocked, RunHasHappened
from engine.errors import DriverError
from engine.runtime import messages
from engine.runtime.messages import Attachment, ExecOrder, Message, ProbeOrder, ProtocolError

REQUEST_TIMEOUT_S: Final = 5.0
"""A monitor answers within a millisecond; one that is stopped or swapped out must hold up nobody
but its own container."""
LOCK_PATIENCE_S: Final = 0.2
_LOCK_RETRY_S: Final = 0.005
ENDING_PATIENCE_S: Final = 2.0
"""How long a monitor that can't be reached may still be about to end."""
_ARRIVALS_MAX: Final = 64
"""Connections whose reader is about to start; more than one a tick only when a daemon finds its
monitors again."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

Clients = Sequence[tuple[Attachment, socket.socket]]


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
                await pending.done.wait()  # once sent, the reply will come, whether or not we wait
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
            except BaseException:  # not sent: it must not be taken for one that has a reply to come
                with suppress(ValueError):
                    self._pending.remove(pending)
                raise

    def tell(self, request: Message) -> None:
        """Send a request whose reply is awaited by nobody, or do not, if it can't be done at
        once.
        """
        if self._sending.locked():
            return
        with suppress(OSError):
            self._control.send(messages.encode(request), socket.MSG_NOSIGNAL)
            self._pending.append(_Pending())

    async def read(self, wake: Callable[[ContainerId], None]) -> None:
        """Take hints and replies until the monitor or we close."""
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
        """Close; whoever waits for a reply learns that there is none."""
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
        """Tell one more whose journal is worth a look.

        Followers are called in the order in which they came.
        """
        self._followers.append(follower)

    def _wake(self, container: ContainerId) -> None:
        for follower in self._followers:
            follower(container)

    async def run(self) -> None:
        """Read from every connection. Runs until cancelled; then monitors go on without us."""
        try:
            async with trio.open_nursery() as readers:
                async for connection in self._arrivals:
                    read = partial(self._read, connection)
                    readers.start_soon(until_done, Loop.MONITORS, read)
        finally:
            for connection in list(self._connections.values()):
                connection.close()

    async def launch(
        self, container: ContainerId, clients: Clients = (), owners: NamespaceOwners = ()
    ) -> int | None:
        """Start a container's monitor and connect to it; its pid. What becomes of the run stands in
        the journal.

        A run happens once: where it has a monitor or has had one, nothing is done and there is no
        pid. The clients' sockets are the caller's to close, whatever happens.

        Raises:
            DriverError: there is no monitor.
        """
        try:
            launched = await self._launch_patiently(container, clients, owners)
        except RunHasHappened:
            return None
        except BundleLocked:
            await self._connection(container)
            return None
        os.close(launched.pidfd)  # its end is the end of the connection
        await self._adopt(container, launched.control)
        return launched.pid

    async def _launch_patiently(
        self, container: ContainerId, clients: Clients, owners: NamespaceOwners
    ) -> Launched:
        """The monitor of the run before may be just about to let go of the lock, its last record
        being written.
        """
        deadline = trio.current_time() + LOCK_PATIENCE_S
        while True:
            try:
                return await self._launcher.launch(self._bundles / container, clients, owners)
            except BundleLocked:
                if trio.current_time() >= deadline:
                    raise
                await trio.sleep(_LOCK_RETRY_S)

    async def find(self) -> tuple[ContainerId, ...]:
        """Connect to every monitor that is alive, as after a restart of the daemon; the containers
        they are of.
        """
        return tuple(
            [each for each in map(ContainerId, names_in(self._bundles)) if await self._found(each)]
        )

    async def _found(self, container: ContainerId) -> bool:
        """Connect to a container's monitor if it is alive.

        One that can't be asked is left to its container's worker.
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
        wishes: Attachment,
        client: socket.socket,
        gate_fd: int | None = None,
    ) -> None:
        """Hand a client's socket, and a gate if it is to wait, to a container's monitor; ours may
        be closed then.

        Raises:
            DriverError: the monitor does not take it: the container has exited.
        """
        request = {"op": "attach", **wishes.to_message()}
        gate = [] if gate_fd is None else [gate_fd]
        await self._order(container, request, [client.fileno(), *gate])

    async def start_exec(
        self, container: ContainerId, order: ExecOrder, client: socket.socket | None = None
    ) -> bool:
        """Have one more process started; False if the monitor had this order before. The outcome
        stands in the journal.

        Raises:
            DriverError: the monitor does not take it.
        """
        fds = [] if client is None else [client.fileno()]
        reply = await self._order(container, order.to_message(), fds)
        return not reply.get("known", False)

    async def start_probe(
        self, container: ContainerId, order: ProbeOrder, answer: socket.socket
    ) -> None:
        """Have a process run that asks how the container is; what it says comes through the other
        end of ``answer``.

        Waits for as long as the caller does: to have asked a monitor that is stopped is no reason
        to break with it.

        Raises:
            DriverError: the monitor does not take it.
        """
        await self._order(container, order.to_message(), [answer.fileno()], math.inf)

    def forget_facts(self, container: ContainerId, taken: int) -> None:
        """Let a journal be shortened by the records that the log has; if the monitor can't be told
        now, then another time.
        """
        if (connection := self._connections.get(container)) is not None:
            connection.tell({"op": "forget", "taken": taken})

    def is_alive(self, container: ContainerId) -> bool:
        """Whether a container has a monitor."""
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
        """Have a signal sent to the first process; an order that was carried out before is not
        carried out again.

        Raises:
            DriverError: the monitor does not answer.
        """
        await self._order(container, {"op": "signal", "order": order, "signum": signum})

    def forget(self, container: ContainerId) -> None:
        """Close the connection to a monitor that is of no interest any more."""
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
        """Connect to a monitor whose connection has ended, or wait until it has let go of its lock.

        The kernel closes the descriptors of a killed process one after the other, so for some
        milliseconds it can be unreachable and yet alive; who looked only then would never hear of
        its end.
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
    """Connect to a monitor's socket, by a short name: an address has 108 bytes, unix(7)."""
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
