"""Keep the resolver running and its names up to date.

Level-triggered: callers change what should be and mark it as untold; :meth:`Resolver.run` tells
whatever is untold, as many changes at once as there are. To a resolver that is new, or was found
after a restart of the daemon, everything is untold.
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
"""In one packet, of listeners and of records each: every one may take a descriptor, and 64
travel.
"""
END_TIMEOUT_S: Final = 1.0
BACKOFF: Final = Backoff(first_s=0.05, max_s=5.0)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class _Change:
    """Something untold, and those who wait for it to be told."""

    def __init__(self) -> None:
        self.told = trio.Event()
        self.problem = ""

    def conclude(self, problem: str = "") -> None:
        self.problem = problem
        self.told.set()

    async def wait(self) -> None:
        await self.told.wait()
        if self.problem:
            raise DriverError(self.problem)


_Untold = dict[str, list[_Change]]


class Resolver:
    """What containers are called. All methods are for one trio run; to cancel a wait undoes
    nothing.
    """

    def __init__(self, exec_root: Path) -> None:
        self._exec_root = exec_root
        self._process = ResolverProcess(exec_root / "resolver")
        self._listeners: dict[str, Listener] = {}
        self._records: dict[str, tuple[HostNames, ...]] = {}
        self._untold_listeners: _Untold = {}
        self._untold_records: _Untold = {}
        self._anew: list[_Change] = []
        self._is_all_untold = True
        self._wake = trio.Event()
        self._is_told = False
        self.pid: int | None = None
        """Of the process, while there is one."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a resolver that knows everything. Begins with the first :meth:`set_all`; runs until
        cancelled.

        One is started when there is something to tell. When it dies, another takes its place at
        once.
        """
        task_status.started()
        while not self._is_told:
            await self._changed()
        try:
            await forever(Loop.RESOLVER, self._keep, BACKOFF)
        finally:
            self._process.abandon()

    async def _keep(self) -> None:
        """Reach a resolver and talk to it until it dies.

        On failure, whoever waits is told; the next attempt tells it all.
        """
        try:
            connection = await self._reach()
            if connection is not None:
                await self._converse(connection)
        except (DriverError, OSError) as error:
            self._give_up(str(error))
            raise

    async def serve(self, listener: Listener) -> None:
        """Answer a sandbox's questions; return once its sockets are open. Again: with other
        settings.

        Raises:
            DriverError: there is no such sandbox; an address of a server is none; there is no
                resolver.
        """
        self._listeners[listener.sandbox] = listener
        await self._tell(self._untold_listeners, listener.sandbox)

    async def forget(self, sandbox: str) -> None:
        """Answer it no more; its namespace is held no more. Nothing if it was not served.

        Raises:
            DriverError: there is no resolver.
        """
        if self._listeners.pop(sandbox, None) is not None:
            await self._tell(self._untold_listeners, sandbox)

    async def tell(self, owner: str, records: tuple[HostNames, ...]) -> None:
        """These and no others are a container's names.

        Raises:
            DriverError: there is no resolver.
        """
        if records:
            self._records[owner] = records
        elif self._records.pop(owner, None) is None:
            return
        await self._tell(self._untold_records, owner)

    def note(self, owner: str, records: tuple[HostNames, ...]) -> None:
        """The same for who does not wait."""
        if records:
            self._records[owner] = records
        elif self._records.pop(owner, None) is None:
            return
        self._untold_records.setdefault(owner, [])
        self._wake.set()

    async def set_all(self, listeners: Iterable[Listener], records: Iterable[HostNames]) -> None:
        """This is all there is; what else a resolver has kept goes. A sandbox that can't be served
        is logged.

        Raises:
            DriverError: there is no resolver.
        """
        self._listeners = {listener.sandbox: listener for listener in listeners}
        self._records = {}
        for record in records:
            self._records[record.owner] = (*self._records.get(record.owner, ()), record)
        self._is_told = True
        self._is_all_untold = True
        change = _Change()
        self._anew.append(change)
        self._wake.set()
        await change.wait()

    async def _tell(self, untold: _Untold, key: str) -> None:
        change = _Change()
        untold.setdefault(key, []).append(change)
        self._wake.set()
        await change.wait()

    async def _changed(self) -> None:
        await self._wake.wait()
        self._wake = trio.Event()

    async def _reach(self) -> Connection | None:
        """A resolver; None when there is none and nobody needs one."""
        connection = await self._process.find()
        if connection is not None:
            return connection
        if self._listeners or self._records:
            return await self._process.start()
        self._give_up("")  # nothing is known by nobody: told
        await self._changed()
        return None

    async def _converse(self, connection: Connection) -> None:
        """Tell everything, then what changes, until the resolver is gone."""
        self.pid = connection.pid
        self._is_all_untold = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._until_gone, connection)
                while True:
                    await self._tell_untold(connection)
                    await self._changed()
        except* Gone:
            log.warning("resolver_died", pid=connection.pid)
            with trio.move_on_after(END_TIMEOUT_S):  # its sockets are in the way of the next one's
                await connection.wait_end()
        finally:
            self.pid = None
            connection.close()

    async def _until_gone(self, connection: Connection) -> None:
        await connection.wait_end()
        raise Gone

    async def _tell_untold(self, connection: Connection) -> None:
        """Tell what is untold now. Whoever waits goes on waiting when the resolver is gone, and is
        told with all else.
        """
        anew = self._is_all_untold
        listeners, self._untold_listeners = self._untold_listeners, {}
        records, self._untold_records = self._untold_records, {}
        waiting, self._anew = self._anew, []
        try:
            if anew:
                await connection.ask({"op": "begin"})
            failed = await self._send(
                connection,
                self._listeners if anew else listeners,
                self._records if anew else records,
            )
            if anew:
                await connection.ask({"op": "settle"})
        except BaseException:
            _put_back(listeners, self._untold_listeners)
            _put_back(records, self._untold_records)
            self._anew += waiting
            raise
        self._is_all_untold = bool(self._anew)
        for key, problem in failed.items():
            if key not in listeners and key not in records:
                log.warning("names_not_told", about=key, error=problem)
        for key, changes in (*listeners.items(), *records.items()):
            for change in changes:
                change.conclude(failed.get(key, ""))
        for change in waiting:
            change.conclude()

    async def _send(
        self, connection: Connection, listeners: Iterable[str], records: Iterable[str]
    ) -> dict[str, str]:
        """Tell how it stands with these sandboxes and containers; what could not be done, and
        why.
        """
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
                for sandbox in some:  # one of them is at fault: the others shall not suffer
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
                packet.tell(owner, self._records.get(owner, ()))
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

    def _give_up(self, problem: str) -> None:
        """Nobody need wait any longer; what is untold is told with everything else once there is a
        resolver.
        """
        changes = [*self._untold_listeners.values(), *self._untold_records.values(), self._anew]
        self._untold_listeners, self._untold_records, self._anew = {}, {}, []
        for change in chain.from_iterable(changes):
            change.conclude(problem)


class _Packet:
    """One order under construction. Its descriptors are those of ``files``."""

    def __init__(self, files: ExitStack) -> None:
        self._files = files
        self._namespace_fds: list[int] = []
        self._pidfds: list[int] = []
        self._serve: list[Message] = []
        self._forget: list[str] = []
        self._tell: list[Message] = []

    @property
    def message(self) -> Message:
        return {
            "op": "change",
            "serve": self._serve,
            "forget": self._forget,
            "tell": self._tell,
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

    def tell(self, owner: str, records: tuple[HostNames, ...]) -> None:
        """The records hold for as long as the process does; with one that has ended there are
        none.
        """
        identity = next((each.process for each in records if each.process is not None), None)
        pidfd = process.open_process(identity) if identity is not None else None
        if pidfd is not None:
            self._pidfds.append(self._owned(pidfd))
        holds = identity is None or pidfd is not None
        told = [_record(each).to_message() for each in records] if holds else []
        self._tell.append({"owner": owner, "records": told, "has_process": pidfd is not None})

    def _owned(self, fd: int) -> int:
        self._files.callback(os.close, fd)
        return fd


def _record(names: HostNames) -> HostRecord:
    return HostRecord(
        names.network, names.network_name, names.names, tuple(map(str, names.addresses))
    )


def _put_back(untold: _Untold, into: _Untold) -> None:
    for key, changes in untold.items():
        into.setdefault(key, []).extend(changes)
