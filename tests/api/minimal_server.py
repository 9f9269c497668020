"""Run a server for tests, on a Unix socket of its own, and a client that sends exact bytes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import ParamSpec

import h11
import trio
from trio.testing import MockClock

from engine.api.http.http11 import Application, Limits
from engine.api.http.server import Server
from engine.api.http.sockets import Entrance, listen_unix

P = ParamSpec("P")


def in_trio(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a test under trio; time stands still, and jumps when all tasks wait."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        trio.run(partial(test, *args, **kwargs), clock=MockClock(autojump_threshold=0.02))

    return run


@dataclass(frozen=True)
class Response:
    """One response, as read by h11, which the server does not use."""

    status: int
    reason: bytes
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._parser = h11.Connection(h11.CLIENT)

    async def send(self, data: bytes) -> None:
        """Send exactly these bytes."""
        await self.stream.send_all(data)

    async def response(self, method: str = "GET") -> Response:
        """Return the next response, checked by h11."""
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
        parser.send(h11.EndOfMessage())
        if ahead := self._parser.trailing_data[0]:
            parser.receive_data(ahead)
        head: h11.Response | None = None
        body = b""
        while not isinstance(event := parser.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                parser.receive_data(await self.stream.receive_some())
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
        self._parser = parser
        assert head is not None
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return Response(head.status_code, bytes(head.reason), headers, body)

    async def rest_of_chunks(self) -> bytes:
        """Return the rest of a chunked body, until its last chunk."""
        seen = b""
        while not seen.endswith(b"0\r\n\r\n"):
            received = await self.stream.receive_some()
            assert received, "cut short"
            seen += received
        return seen.removesuffix(b"0\r\n\r\n").removesuffix(b"\r\n")

    async def rest(self) -> bytes:
        """Return everything until the server closes."""
        return b"".join([bytes(part) async for part in self.stream])


@dataclass(frozen=True)
class Served:
    """A running server."""

    server: Server
    path: Path
    clients: list[Client]

    async def connect(self) -> Client:
        """Open a connection, which is closed with the server."""
        client = Client(await trio.open_unix_socket(self.path))
        self.clients.append(client)
        return client

    async def ask(self, request: bytes, method: str = "GET") -> Response:
        """Send one request on a connection of its own."""
        client = await self.connect()
        async with client.stream:
            await client.send(request)
            return await client.response(method)


@asynccontextmanager
async def served(
    application: Application, directory: Path, limits: Limits | None = None
) -> AsyncIterator[Served]:
    """Serve ``application`` for the block."""
    server = Server(application, product="Tests/1", limits=limits)
    path = directory / "api.sock"
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, [Entrance(listen_unix(path))])
        running = Served(server, path, [])
        try:
            yield running
        finally:
            server.stop()
            for client in running.clients:
                client.stream.socket.close()


def get(path: str, *headers: str, version: str = "1.1") -> bytes:
    """Build a request without a body."""
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: h", *headers, "", ""]).encode()


def post(path: str, body: bytes = b"", *headers: str) -> bytes:
    """Build a request with a body of known length."""
    lines = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
