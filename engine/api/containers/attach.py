"""Serve an attached client once its connection has left HTTP."""

import socket
from contextlib import aclosing
from dataclasses import dataclass

import trio

from engine.ports.streams import Client, LogOptions
from engine.service.containers.streams import Attachment, ContainerStreams


@dataclass(frozen=True, slots=True)
class Conversation:
    """An accepted attach; call it with the client's connection."""

    streams: ContainerStreams
    reference: str
    attachment: Attachment | None
    """The streams; None for a client that wants the log alone, or nothing."""
    past: LogOptions | None
    """The part of the log that is sent first."""

    async def __call__(self, connection: socket.socket, unread: bytes) -> None:
        """Own the connection until the monitor has it, or until everything has been sent."""
        if self.attachment is not None:
            client = Client(connection=connection, unread=unread)
            await self.attachment.connect(client, self.past)
            return
        with connection:
            if self.past is not None:
                await self._send_log(connection, self.past)

    async def _send_log(self, connection: socket.socket, past: LogOptions) -> None:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(connection.dup()))
        output = self.streams.logs(self.reference, past)
        async with stream, aclosing(output):
            async for block in output:
                await stream.send_all(block)
