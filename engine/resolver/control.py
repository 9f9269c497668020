"""Receive the daemon's orders: the names of containers, and the sandboxes to serve.

Uses the socket of :mod:`engine.runtime.messages`, packets of JSON with descriptors beside them::

    {"op": "hello"}    → {"ok": true, "edition"}
    {"op": "begin"}    → {"ok": true}    everything will be sent again from here on
    {"op": "change", "serve": [{"sandbox", …}], "forget": [sandbox],
     "containers": [{"owner", "records", "has_process"}]}
        + [namespace of each served …, pidfd of each that has a process …]
                       → {"ok": true, "failed": "SANDBOX: WHY", a line each}
    {"op": "settle"}   → {"ok": true}    what was not sent since is deleted
    {"op": "end"}      → the connection closes
"""

import os
import resource
import socket

from engine.resolver.forwarding import Forwarder
from engine.resolver.inside import Namespaces
from engine.resolver.listeners import Listener, Settings
from engine.resolver.zones import HostRecord, Zones
from engine.runtime import messages
from engine.runtime.loop import READ, Loop
from engine.runtime.messages import Message, ProtocolError


class Resolver:
    """The names and listeners of this process."""

    def __init__(self, edition: str) -> None:
        _allow_descriptors()
        self._edition = edition
        self._loop = Loop()
        self._zones = Zones()
        self._forwarder = Forwarder(self._loop, Namespaces())
        self._listeners: dict[str, Listener] = {}
        self._processes: dict[str, int] = {}
        self._unsent_listeners: set[str] = set()
        self._unsent_owners: set[str] = set()

    @property
    def is_idle(self) -> bool:
        """True if no container has a record."""
        return not len(self._zones)

    def serve(self, control_listener: socket.socket) -> None:
        """Serve until ordered to end, or until neither daemons nor names are left."""
        daemons = _Daemons(self._loop, self, control_listener)
        self._loop.watch(control_listener.fileno(), READ, daemons.accept)
        self._end_when_idle = daemons.end_when_idle
        self._loop.run()

    def answer(self, request: Message, fds: list[int]) -> Message:
        """Carry out an order, and remove the descriptors that it keeps from the list.

        Raises:
            ProtocolError: the order is invalid.
        """
        match request.get("op"):
            case "hello":
                return {"ok": True, "edition": self._edition}
            case "begin":
                self._unsent_listeners = set(self._listeners)
                self._unsent_owners = set(self._zones.owners)
            case "change":
                return {"ok": True, "failed": "\n".join(self._change(request, fds))}
            case "settle":
                self._settle()
            case "end":
                self._loop.stop()
            case other:
                raise ProtocolError(f"no such operation: {other}")
        return {"ok": True}

    def stop(self) -> None:
        """End after this round of events."""
        self._loop.stop()

    def _change(self, request: Message, fds: list[int]) -> list[str]:
        served, containers = list(request["serve"]), list(request["containers"])
        if len(fds) != len(served) + sum(bool(each["has_process"]) for each in containers):
            raise ProtocolError(f"change came with {len(fds)} descriptors")
        failed: list[str] = []
        for sandbox in request["forget"]:
            self._forget(str(sandbox))
        for each in served:
            sandbox = str(each["sandbox"])
            failed += [
                f"{sandbox}: {problem}" for problem in self._listen(sandbox, each, fds.pop(0))
            ]
        for each in containers:
            pidfd = fds.pop(0) if each["has_process"] else None
            self._set_records(str(each["owner"]), each["records"], pidfd)
        return failed

    def _listen(self, sandbox: str, message: Message, namespace_fd: int) -> list[str]:
        """Serve a sandbox; return the error if that fails. Owns the descriptor."""
        self._unsent_listeners.discard(sandbox)
        try:
            settings = Settings.from_message(message)
            listener = self._listeners.get(sandbox)
            if listener is not None and listener.is_in(namespace_fd):
                listener.adjust(settings)
                return []
            self._forget(sandbox)
            self._listeners[sandbox] = Listener(
                self._loop, self._zones, self._forwarder, namespace_fd, settings
            )
            namespace_fd = -1
        except (OSError, ValueError, ProtocolError) as error:
            return [str(error)]
        finally:
            if namespace_fd >= 0:
                os.close(namespace_fd)
        return []

    def _forget(self, sandbox: str) -> None:
        if (listener := self._listeners.pop(sandbox, None)) is not None:
            listener.close()

    def _set_records(self, owner: str, records: list[Message], pidfd: int | None) -> None:
        self._unsent_owners.discard(owner)
        self._watch(owner, pidfd)
        self._zones.set_records(owner, map(HostRecord.from_message, records))

    def _watch(self, owner: str, pidfd: int | None) -> None:
        """Remove a container's records when its process ends. pidfd_open(2)."""
        if (former_fd := self._processes.pop(owner, None)) is not None:
            self._loop.forget(former_fd)
            os.close(former_fd)
        if pidfd is not None:
            self._processes[owner] = pidfd
            self._loop.watch(pidfd, READ, lambda _: self._has_ended(owner))

    def _has_ended(self, owner: str) -> None:
        self._set_records(owner, [], None)
        self._end_when_idle()

    def _settle(self) -> None:
        for sandbox in self._unsent_listeners:
            self._forget(sandbox)
        for owner in self._unsent_owners.copy():
            self._set_records(owner, [], None)
        self._unsent_listeners, self._unsent_owners = set(), set()


class _Daemons:
    """Control connections of daemons. Only root can connect to the socket."""

    def __init__(self, loop: Loop, resolver: Resolver, listener: socket.socket) -> None:
        self._loop = loop
        self._resolver = resolver
        self._listener = listener
        self._connections: dict[int, socket.socket] = {}

    def accept(self, _events: int) -> None:
        """Accept a daemon's connection."""
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # the daemon has gone
        messages.widen(connection)
        fd = connection.fileno()
        self._connections[fd] = connection
        self._loop.watch(fd, READ, lambda _: self._serve(fd))

    def end_when_idle(self) -> None:
        """End if there is neither a daemon nor a container."""
        if not self._connections and self._resolver.is_idle:
            self._resolver.stop()

    def _serve(self, fd: int) -> None:
        connection = self._connections[fd]
        try:
            received = messages.receive(connection)
            if received is not None:
                messages.send(connection, self._answer(*received))
                return
        except (OSError, ProtocolError):
            pass
        self._loop.forget(fd)
        self._connections.pop(fd).close()
        self.end_when_idle()

    def _answer(self, request: Message, fds: list[int]) -> Message:
        try:
            return self._resolver.answer(request, fds)
        except (ProtocolError, LookupError, TypeError, ValueError) as error:
            return {"error": repr(error)}
        finally:
            messages.close_all(fds)


def _allow_descriptors() -> None:
    """Raise the limit of descriptors as far as the administrator allows: each sandbox takes three,
    each open question up to three.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
