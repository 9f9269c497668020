"""Implement the port for standard streams on a simulated machine.

A process prints what its container's labels ``stdout`` and ``stderr`` say, and then what is typed,
if it has a standard input. An exec prints its arguments but the first.
"""

import socket
import struct
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import trio

from engine.domain.container.state import Container
from engine.domain.exec.state import Exec
from engine.domain.ids import ContainerId, ExecId
from engine.errors import DriverError
from engine.ports.streams import Client, LogOptions, StreamOptions
from tests.model.simulated_machine import Machine

STDOUT: Final = 1
STDERR: Final = 2
_READ_BYTES: Final = 4096


def frame(stream: int, payload: bytes) -> bytes:
    """A piece of output as Docker's clients get it."""
    return struct.pack(">BxxxI", stream, len(payload)) + payload


@dataclass(frozen=True)
class _Attachment:
    """A client of a process's streams."""

    options: StreamOptions
    client: Client
    tty: bool

    def send(self, stream: int, payload: bytes) -> None:
        wanted = self.options.stdout if stream == STDOUT else self.options.stderr
        if wanted:
            with suppress(OSError):  # it has gone
                self.client.connection.sendall(_framed(stream, payload, raw=self.is_raw))

    @property
    def is_raw(self) -> bool:
        return self.tty or self.options.raw

    def close(self) -> None:
        with suppress(OSError):
            self.client.connection.shutdown(socket.SHUT_RDWR)
        self.client.connection.close()


class SimulatedStreams:
    """Clients of the containers of one machine; a test may look at what they asked for."""

    def __init__(self, machine: Machine) -> None:
        self.attached: list[StreamOptions] = []
        self.withdrawn: list[ExecId] = []
        self._machine = machine
        machine.launched, machine.not_launched = self._launched, self.forget
        machine.ended, machine.executed = self._ended, self._executed
        self._logs: defaultdict[ContainerId, list[tuple[int, bytes]]] = defaultdict(list)
        self._waiting: defaultdict[ContainerId, list[_Attachment]] = defaultdict(list)
        self._live: defaultdict[ContainerId, list[_Attachment]] = defaultdict(list)
        self._offered: dict[ExecId, tuple[StreamOptions, Client | None]] = {}

    # --- The port ---

    async def attach(
        self, container: Container, attach: str, options: StreamOptions, client: Client
    ) -> None:
        await trio.lowlevel.checkpoint()
        self._attach(container, options, client)

    async def attach_after_log(
        self,
        container: Container,
        current: Callable[[], Container | None],
        attach: str,
        options: StreamOptions,
        client: Client,
        past: LogOptions,
    ) -> None:
        async for block in self.logs(container, past, None):
            client.connection.sendall(block)
        now = current()
        if now is None:
            client.connection.close()
        else:
            self._attach(now, options, client)

    def offer_exec(self, execution: ExecId, options: StreamOptions, client: Client | None) -> None:
        self.attached.append(options)
        self._offered[execution] = options, client

    def withdraw_exec(self, execution: ExecId) -> None:
        self.withdrawn.append(execution)
        _, client = self._offered.pop(execution, (None, None))
        if client is not None:
            client.connection.close()

    async def resize(
        self, container: Container, execution: ExecId | None, *, height: int, width: int
    ) -> None:
        await trio.lowlevel.checkpoint()
        if execution is not None or not container.spec.tty or not self._runs(container):
            raise DriverError("resize: there is no such terminal")

    async def logs(
        self, container: Container, options: LogOptions, ended: trio.Event | None
    ) -> AsyncGenerator[bytes, None]:
        if not container.spec.log.is_kept:
            return
        log = self._logs[container.id]
        sent = 0
        if options.tail is not None:
            sent = max(0, len(log) - options.tail)
        while True:
            is_last = ended is None or ended.is_set()
            for stream, payload in log[sent:]:
                if options.stdout if stream == STDOUT else options.stderr:
                    yield _framed(stream, payload, raw=options.raw or container.spec.tty)
            sent = len(log)
            if is_last or ended is None:
                return
            await ended.wait()

    async def processes(self, container: Container) -> tuple[int, ...]:
        await trio.lowlevel.checkpoint()
        process = self._machine.place(container.id).process
        return (process.identity.pid,) if process is not None and process.alive else ()

    def forget(self, container: ContainerId) -> None:
        for each in self._waiting.pop(container, ()):
            each.close()

    # --- The machine ---

    def _attach(self, container: Container, options: StreamOptions, client: Client) -> None:
        self.attached.append(options)
        attachment = _Attachment(options, client, container.spec.tty)
        if not container.is_running:
            self._waiting[container.id].append(attachment)
        elif self._runs(container):
            self._connect(container, attachment)
        else:
            attachment.close()
            raise DriverError(f"the monitor of {container.id} can't be reached")

    def _runs(self, container: Container) -> bool:
        return self._machine.place(container.id).monitor is not None

    def _launched(self, container: Container) -> None:
        """Connect those who wait for the start, and print what the labels say."""
        for each in self._waiting.pop(container.id, ()):
            self._connect(container, each)
        for stream, label in ((STDOUT, "stdout"), (STDERR, "stderr")):
            if text := container.spec.labels.get(label):
                self._print(container, stream, text.encode())

    def _ended(self, container: ContainerId) -> None:
        for each in self._live.pop(container, ()):
            each.close()

    def _executed(self, execution: Exec) -> None:
        options, client = self._offered.pop(execution.id, (StreamOptions(), None))
        if client is not None:
            attachment = _Attachment(options, client, execution.spec.tty)
            attachment.send(STDOUT, " ".join(execution.spec.arguments[1:]).encode() + b"\n")
            attachment.close()

    def _connect(self, container: Container, attachment: _Attachment) -> None:
        self._live[container.id].append(attachment)
        if attachment.options.stdin and container.spec.open_stdin:
            if attachment.client.unread:
                self._print(container, STDOUT, attachment.client.unread)
            if self._machine.nursery is not None:
                typed = trio.socket.from_stdlib_socket(attachment.client.connection.dup())
                self._machine.nursery.start_soon(self._echo, container, typed)

    async def _echo(self, container: Container, typed: trio.socket.SocketType) -> None:
        """Print what a client types, until it has gone or the process has ended."""
        with typed:
            while data := await typed.recv(_READ_BYTES):
                self._print(container, STDOUT, data)

    def _print(self, container: Container, stream: int, payload: bytes) -> None:
        if container.spec.tty:
            stream, payload = STDOUT, payload.replace(b"\n", b"\r\n")
        self._logs[container.id].append((stream, payload))
        for each in self._live[container.id]:
            each.send(stream, payload)


def _framed(stream: int, payload: bytes, *, raw: bool) -> bytes:
    return payload if raw else frame(stream, payload)
