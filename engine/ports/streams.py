"""Define the port for standard streams: clients' connections, output, processes."""

import socket
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Protocol

import trio

from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ExecId


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Which standard streams a client wants, and which keys detach it."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    detach_keys: str = ""
    """The keys as users write them: ``ctrl-p,ctrl-q``; empty for the default."""
    raw: bool = False
    """Output without frames, though there is no terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client's connection after its HTTP head was answered. Its receiver owns the socket."""

    connection: socket.socket
    unread: bytes = b""
    """What was read from the connection already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Which part of a container's output to read, and how to show it."""

    stdout: bool = True
    stderr: bool = True
    since_ns: int = 0
    until_ns: int | None = None
    tail: int | None = None
    """The last so many lines; None is all."""
    timestamps: bool = False
    details: bool = False
    """Include what the log's options add to every record."""
    follow: bool = False
    raw: bool = False
    """Without frames, though there is no terminal."""


class Streams(Protocol):
    """Hands clients' connections to monitors, which outlive the daemon."""

    async def attach(
        self, container: Container, attach: str, options: StreamOptions, client: Client
    ) -> None:
        """Connect a client to a container, at once or, if it does not run yet, as it starts.

        Raises:
            DriverError: the monitor does not answer; the client's connection is closed.
        """
        ...

    async def attach_after_log(
        self,
        container: Container,
        current: Callable[[], Container | None],
        attach: str,
        options: StreamOptions,
        client: Client,
        past: LogOptions,
    ) -> None:
        """Send the log to a client, then connect it as :meth:`attach` does. No output is lost or
        repeated.

        Args:
            container: whose log.
            current: how it is when this is called; None when it is too late to attach.
            attach: this attachment's name.
            options: which streams.
            client: who wants them.
            past: which part of the log, and how.

        Raises:
            DriverError: the log can't be read, or the monitor does not answer; the client's
                connection is closed.
        """
        ...

    def offer_exec(self, execution: ExecId, options: StreamOptions, client: Client | None) -> None:
        """Keep a client's connection until the exec that it is for is started."""
        ...

    def withdraw_exec(self, execution: ExecId) -> None:
        """Close a connection that was offered for an exec and not taken: the exec ended before it
        started.
        """
        ...

    async def resize(
        self, container: Container, execution: ExecId | None, *, height: int, width: int
    ) -> None:
        """Set the size of a terminal, in characters.

        Raises:
            DriverError: there is no such terminal.
        """
        ...

    def logs(
        self, container: Container, options: LogOptions, ended: trio.Event | None
    ) -> AsyncGenerator[bytes, None]:
        """Yield a container's output in blocks, framed for Docker's clients unless it has a
        terminal.

        With ``ended`` it goes on as output comes, until that is set: whoever passes it knows when
        the container has ended.
        """
        ...

    async def processes(self, container: Container) -> tuple[int, ...]:
        """Return the pids, on the host, of all processes in a container."""
        ...

    def forget(self, container: ContainerId) -> None:
        """Close connections that wait for a start which will not come."""
        ...
