"""Receive the daemon's orders: which names there are, and which sandboxes to serve.

Over the socket of :mod:`engine.runtime.messages`, packets of JSON with descriptors beside them::

    {"op": "hello"}                                   → {"ok": true, "edition"}
    {"op": "begin"}                                   → {"ok": true}    from here on all is told anew
    {"op": "change", "serve": [{"sandbox", …}], "forget": [sandbox], "tell": [{"owner", "records", "has_process"}]}
        + [namespace of each served …, pidfd of each that has a process …]
                                                      → {"ok": true, "failed": "SANDBOX: WHY", a line each}
    {"op": "settle"}                                  → {"ok": true}    what was not told since goes
    {"op": "end"}                                     → the connection closes
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
    """Everything this process knows and serves."""

    def __init__(self, edition: str) -> None:
        _allow_descriptors()
        self._edition = edition
        self._loop = Loop()
        self._zones = Zones()
        self._forwarder = Forwarder(self._loop, Namespaces())
        self._listeners: dict[str, Listener] = {}
        self._processes: dict[str, int] = {}
        self._untold_listeners: set[str] = set()
        self._untold_owners: set[str] = set()

    @property
    def is_idle(self) -> bool:
        """Whether there is no container that could ask."""
        return not len(self._zones)

    def serve(self, control_listener: socket.socket) -> None:
        """Serve until told to end, or until nobody is left."""
        daemons = _Daemons(self._loop, self, control_listener)
        self._loop.watch(control_listener.fileno(), READ, daemons.accept)
        self._end_when_idle = daemons.end_when_idle
        self._loop.run()

    def answer(self, request: Message, fds: list[int]) -> Message:
        """Carry out an order and take the descriptors it uses out of the list.

        Raises:
            ProtocolError: it can't be understood.
        """
        match request.get("op"):
            case "hello":
                return {"ok": True, "edition": self._edition}
            case "begin":
                self._untold_listeners = set(self._listeners)
                self._untold_owners = set(self._zones.owners)
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
        """End once this round is over."""
        self._loop.stop()

    def _change(self, request: Message, fds: list[int]) -> list[str]:
        served, told = list(request["serve"]), list(request["tell"])
        if len(fds) != len(served) + sum(bool(each["has_process"]) for each in told):
            raise ProtocolError(f"change came with {len(fds)} descriptors")
        failed: list[str] = []
        for sandbox in request["forget"]:
            self._forget(str(sandbox))
        for each in served:
            sandbox = str(each["sandbox"])
            failed += [
                f"{sandbox}: {problem}" for problem in self._listen(sandbox, each, fds.pop(0))
            ]
        for each in told:
            pidfd = fds.pop(0) if each["has_process"] else None
            self._tell(str(each["owner"]), each["records"], pidfd)
        return failed

    def _listen(self, sandbox: str, message: Message, namespace_fd: int) -> list[str]:
        """Serve a sandbox; why that can't be, if it can't. Takes the descriptor."""
        self._untold_listeners.discard(sandbox)
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

    def _tell(self, owner: str, records: list[Message], pidfd: int | None) -> None:
        self._untold_owners.discard(owner)
        self._watch(owner, pidfd)
        self._zones.tell(owner, map(HostRecord.from_message, records))

    def _watch(self, owner: str, pidfd: int | None) -> None:
        """Have a container's records only for as long as its process lives. pidfd_open(2)."""
        if (former_fd := self._processes.pop(owner, None)) is not None:
            self._loop.forget(former_fd)
            os.close(former_fd)
        if pidfd is not None:
            self._processes[owner] = pidfd
            self._loop.watch(pidfd, READ, lambda _: self._has_ended(owner))

    def _has_ended(self, owner: str) -> None:
        self._tell(owner, [], None)
        self._end_when_idle()

    def _settle(self) -> None:
        for sandbox in self._untold_listeners:
            self._forget(sandbox)
        for owner in self._untold_owners.copy():
            self._tell(owner, [], None)
        self._untold_listeners, self._untold_owners = set(), set()


class _Daemons:
    """Control connections. Only root reaches the socket."""

    def __init__(self, loop: Loop, resolver: Resolver, listener: socket.socket) -> None:
        self._loop = loop
        self._resolver = resolver
        self._listener = listener
        self._connections: dict[int, socket.socket] = {}

    def accept(self, _events: int) -> None:
        """A daemon has come."""
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # whoever knocked has gone
        messages.widen(connection)
        fd = connection.fileno()
        self._connections[fd] = connection
        self._loop.watch(fd, READ, lambda _: self._serve(fd))

    def end_when_idle(self) -> None:
        """End when no daemon is there and no container."""
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
    """As many as the administrator lets: each sandbox takes three, each question under way up to
    three.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
