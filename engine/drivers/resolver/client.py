"""Keep the resolver running and its names up to date.

Level-triggered: callers change the wanted state and mark the change as unsent; :meth:`Resolver.run`
sends what is unsent, all pending changes at once. When a resolver is new, or was found after a
restart of the daemon, everything is unsent.
"""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Final

import structlog
import trio

from engine.background import Backoff, Loop, forever
from engine.domain import naming
from engine.domain.ids import SandboxId
from engine.drivers.processes import identity as process
from engine.drivers.resolver.process import Connection, Gone, ResolverProcess
from engine.drivers.resolver.records import HostNames, Listener
from engine.errors import DriverError
from engine.resolver.listeners import Settings
from engine.resolver.zones import HostRecord
from engine.runtime.messages import Message

CHANGES_MAX: Final = 30
"""Number of listeners, and of records, in one packet: each of them may carry a descriptor, and a
packet holds 64.
"""
END_TIMEOUT_S: Final = 1.0
BACKOFF: Final = Backoff(first_s=0.05, max_s=5.0)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class _Change:
    """An unsent change, and the callers that wait for it."""

    def __init__(self) -> None:
        self.sent = trio.Event()
        self.problem = ""

    def conclude(self, problem: str = "") -> None:
        self.problem = problem
        self.sent.set()

    async def wait(self) -> None:
        await self.sent.wait()
        if self.problem:
            raise DriverError(self.problem)


_Unsent = dict[str, list[_Change]]


class Resolver:
    """Sends the names of containers to the resolver. All methods are for one trio run. Cancelling a
    wait undoes nothing.
    """

    def __init__(self, exec_root: Path) -> None:
        self._exec_root = exec_root
        self._process = ResolverProcess(exec_root / "resolver")
        self._listeners: dict[str, Listener] = {}
        self._records: dict[str, tuple[HostNames, ...]] = {}
        self._unsent_listeners: _Unsent = {}
        self._unsent_records: _Unsent = {}
        self._waiting_for_all: list[_Change] = []
        self._all_is_unsent = True
        self._wake = trio.Event()
        self._has_state = False
        self.pid: int | None = None
        """The resolver's pid, while it runs."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a resolver running that knows everything. Begins with the first :meth:`set_all`;
        runs until cancelled.

        A resolver is started when there is something to send. When it dies, another is started at
        once.
        """
        task_status.started()
        while not self._has_state:
            await self._changed()
        try:
            await forever(Loop.RESOLVER, self._keep, BACKOFF)
        finally:
            self._process.abandon()

    async def _keep(self) -> None:
        """Connect to a resolver and send changes until it dies.

        On failure, waiting callers get the error; the next attempt sends everything.
        """
        try:
            connection = await self._reach()
            if connection is not None:
                await self._converse(connection)
        except (DriverError, OSError) as error:
            self._end_waits(str(error))
            raise

    async def serve(self, listener: Listener) -> None:
        """Serve a sandbox; return once its sockets are open. A repeated call changes the settings.

        Raises:
            DriverError: there is no such sandbox; a server's address is invalid; there is no
                resolver.
        """
        self._listeners[listener.sandbox] = listener
        await self._send_change(self._unsent_listeners, listener.sandbox)

    async def forget(self, sandbox: str) -> None:
        """Stop serving a sandbox, and release its namespace. Does nothing if it was not served.

        Raises:
            DriverError: there is no resolver.
        """
        if self._listeners.pop(sandbox, None) is not None:
            await self._send_change(self._unsent_listeners, sandbox)

    async def set_records(self, owner: str, records: tuple[HostNames, ...]) -> None:
        """Replace a container's names by these.

        Raises:
            DriverError: there is no resolver.
        """
        if records:
            self._records[owner] = records
        elif self._records.pop(owner, None) is None:
            return
        await self._send_change(self._unsent_records, owner)

    def set_records_soon(self, owner: str, records: tuple[HostNames, ...]) -> None:
        """Replace a container's names, without waiting for the resolver."""
        if records:
            self._records[owner] = records
        elif self._records.pop(owner, None) is None:
            return
        self._unsent_records.setdefault(owner, [])
        self._wake.set()

    async def set_all(self, listeners: Iterable[Listener], records: Iterable[HostNames]) -> None:
        """Replace everything: the resolver deletes what is not listed here. A sandbox that can't be
        served is logged.

        Raises:
            DriverError: there is no resolver.
        """
        self._listeners = {listener.sandbox: listener for listener in listeners}
        self._records = {}
        for record in records:
            self._records[record.owner] = (*self._records.get(record.owner, ()), record)
        self._has_state = True
        self._all_is_unsent = True
        change = _Change()
        self._waiting_for_all.append(change)
        self._wake.set()
        await change.wait()

    async def _send_change(self, unsent: _Unsent, key: str) -> None:
        change = _Change()
        unsent.setdefault(key, []).append(change)
        self._wake.set()
        await change.wait()

    async def _changed(self) -> None:
        await self._wake.wait()
        self._wake = trio.Event()

    async def _reach(self) -> Connection | None:
        """Connect to a resolver; return None if there is none and none is needed."""
        connection = await self._process.find()
        if connection is not None:
            return connection
        if self._listeners or self._records:
            return await self._process.start()
        self._end_waits("")  # there is nothing to send, so all is done
        await self._changed()
        return None

    async def _converse(self, connection: Connection) -> None:
        """Send everything, then each change, until the resolver is gone."""
        self.pid = connection.pid
        self._all_is_unsent = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_gone, connection)
                while True:
                    await self._send_unsent(connection)
                    await self._changed()
        except* Gone:
            log.warning("resolver_died", pid=connection.pid)
            # its sockets are in the way of the next resolver's
            with trio.move_on_after(END_TIMEOUT_S):
                await connection.wait_end()
        finally:
            self.pid = None
            connection.close()

    async def _until_gone(self, connection: Connection) -> None:
        await connection.wait_end()
        raise Gone

    async def _send_unsent(self, connection: Connection) -> None:
        """Send what is unsent now. If the resolver dies meanwhile, callers keep waiting, and
        everything is sent to the next one.
        """
        sends_all = self._all_is_unsent
        listeners, self._unsent_listeners = self._unsent_listeners, {}
        records, self._unsent_records = self._unsent_records, {}
        waiting, self._waiting_for_all = self._waiting_for_all, []
        try:
            if sends_all:
                await connection.ask({"op": "begin"})
            failed = await self._send(
                connection,
                self._listeners if sends_all else listeners,
                self._records if sends_all else records,
            )
            if sends_all:
                await connection.ask({"op": "settle"})
        except BaseException:
            _put_back(listeners, self._unsent_listeners)
            _put_back(records, self._unsent_records)
            self._waiting_for_all += waiting
            raise
        self._all_is_unsent = bool(self._waiting_for_all)
        for key, problem in failed.items():
            if key not in listeners and key not in records:
                log.warning("names_not_sent", about=key, error=problem)
        for key, changes in (*listeners.items(), *records.items()):
            for change in changes:
                change.conclude(failed.get(key, ""))
        for change in waiting:
            change.conclude()

    async def _send(
        self, connection: Connection, listeners: Iterable[str], records: Iterable[str]
    ) -> dict[str, str]:
        """Send the state of these sandboxes and containers; return what failed, and why."""
        failed: dict[str, str] = {}
        sandboxes, owners = list(listeners), list(records)
        while sandboxes or owners:
            some, others = sandboxes[:CHANGES_MAX], owners[:CHANGES_MAX]
            del sandboxes[:CHANGES_MAX], owners[:CHANGES_MAX]
            try:
                await self._send_packet(connection, some, others, failed)
            except DriverError as error:
                if len(some) + len(others) == 1:
                    failed[(*some, *others)[0]] = str(error)
                    continue
                for sandbox in some:  # one of them is at fault: send them one by one
                    failed |= await self._send(connection, (sandbox,), ())
                for owner in others:
                    failed |= await self._send(connection, (), (owner,))
        return failed

    async def _send_packet(
        self,
        connection: Connection,
        sandboxes: Iterable[str],
        owners: Iterable[str],
        failed: dict[str, str],
    ) -> None:
        with ExitStack() as files:
            packet = _Packet(files)
            for sandbox in sandboxes:
                self._add_listener(packet, sandbox, failed)
            for owner in owners:
                packet.set_records(owner, self._records.get(owner, ()))
            reply = await connection.ask(packet.message, packet.fds)
        for line in reply["failed"].splitlines():
            sandbox, _, problem = line.partition(": ")
            failed[sandbox] = f"serve names to {sandbox}: {problem}"

    def _add_listener(self, packet: "_Packet", sandbox: str, failed: dict[str, str]) -> None:
        listener = self._listeners.get(sandbox)
        if listener is None:
            packet.forget(sandbox)
            return
        path = naming.sandbox_path(self._exec_root, SandboxId(sandbox))
        try:
            packet.serve(listener, path)
        except OSError as error:
            packet.forget(sandbox)
            failed[sandbox] = f"serve names to {sandbox}: {error.strerror}"

    def _end_waits(self, problem: str) -> None:
        """End all waits. What is unsent will be sent with everything else once there is a
        resolver.
        """
        changes = [
            *self._unsent_listeners.values(),
            *self._unsent_records.values(),
            self._waiting_for_all,
        ]
        self._unsent_listeners, self._unsent_records, self._waiting_for_all = {}, {}, []
        for change in chain.from_iterable(changes):
            change.conclude(problem)


class _Packet:
    """One order under construction. ``files`` owns its descriptors."""

    def __init__(self, files: ExitStack) -> None:
        self._files = files
        self._namespace_fds: list[int] = []
        self._pidfds: list[int] = []
        self._serve: list[Message] = []
        self._forget: list[str] = []
        self._records: list[Message] = []

    @property
    def message(self) -> Message:
        return {
            "op": "change",
            "serve": self._serve,
            "forget": self._forget,
            "containers": self._records,
        }

    @property
    def fds(self) -> list[int]:
        return self._namespace_fds + self._pidfds

    def serve(self, listener: Listener, path: Path) -> None:
        self._namespace_fds.append(self._owned(os.open(path, os.O_RDONLY | os.O_CLOEXEC)))
        settings = Settings(
            listener.networks,
            listener.servers,
            listener.forward,
            listener.from_host,
            listener.links,
        )
        self._serve.append({"sandbox": listener.sandbox, **settings.to_message()})

    def forget(self, sandbox: str) -> None:
        self._forget.append(sandbox)

    def set_records(self, owner: str, records: tuple[HostNames, ...]) -> None:
        """Add a container's records. They hold as long as its process lives, so there are none if
        it has ended.
        """
        identity = next((each.process for each in records if each.process is not None), None)
        pidfd = process.open_process(identity) if identity is not None else None
        if pidfd is not None:
            self._pidfds.append(self._owned(pidfd))
        holds = identity is None or pidfd is not None
        messages = [_record(each).to_message() for each in records] if holds else []
        self._records.append(
            {"owner": owner, "records": messages, "has_process": pidfd is not None}
        )

    def _owned(self, fd: int) -> int:
        self._files.callback(os.close, fd)
        return fd


def _record(names: HostNames) -> HostRecord:
    return HostRecord(
        names.network, names.network_name, names.names, tuple(map(str, names.addresses))
    )


def _put_back(unsent: _Unsent, into: _Unsent) -> None:
    for key, changes in unsent.items():
        into.setdefault(key, []).extend(changes)
