"""Test leaving HTTP: the descriptor is handed over, and no byte is lost or read twice."""

import socket
from pathlib import Path

import pytest
import trio

from engine.api.http.replies import Hijacked, Reply
from engine.api.http.requests import Request
from tests.api.minimal_server import Client, get, in_trio, post, served

RAW = "application/vnd.docker.raw-stream"


class Monitor:
    """Takes connections and keeps them, as a container's monitor does in another process."""

    def __init__(self) -> None:
        self.taken: list[tuple[socket.socket, bytes]] = []

    async def __call__(self, request: Request) -> Reply:
        await request.body.read()
        return Hijacked(self._take, RAW)

    async def _take(self, connection: socket.socket, unread: bytes) -> None:
        self.taken.append((connection, unread))


@pytest.mark.parametrize(
    ("headers", "status_line"),
    [(("Connection: Upgrade", "Upgrade: tcp"), b"HTTP/1.1 101 UPGRADED"), ((), b"HTTP/1.1 200 OK")],
)
@in_trio
async def test_the_connection_outlives_the_server_in_other_hands(
    headers: tuple[str, ...], status_line: bytes, tmp_path: Path
) -> None:
    monitor = Monitor()
    async with served(monitor, tmp_path) as server:
        client = Client(await trio.open_unix_socket(server.path))
        await client.send(post("/attach", b'{"a":1}', *headers) + b"typed ahead")
        head = await client.stream.receive_some()

    (connection, unread) = monitor.taken[0]
    assert head.startswith(status_line)
    assert f"Content-Type: {RAW}\r\n".encode() in head
    assert head.endswith(b"\r\n\r\n")
    assert unread == b"typed ahead"
    with connection:
        await client.send(b"and later")
        await trio.lowlevel.wait_readable(connection)
        assert connection.recv(100) == b"and later"
        connection.send(b"output")
        assert await client.stream.receive_some() == b"output"
        await client.stream.send_eof()
        await trio.lowlevel.wait_readable(connection)
        assert connection.recv(100) == b"", "a half-close reaches who has the connection now"
    assert await client.rest() == b""
    await client.stream.aclose()


@in_trio
async def test_the_server_keeps_no_descriptor_of_a_connection_it_gave_away(tmp_path: Path) -> None:
    monitor = Monitor()
    async with served(monitor, tmp_path) as server:
        client = await server.connect()
        await client.send(get("/attach", "Connection: Upgrade", "Upgrade: tcp"))
        await client.stream.receive_some()
        await trio.testing.wait_all_tasks_blocked(0.01)
        monitor.taken[0][0].close()

        assert await client.rest() == b"", "the last descriptor was ours to close"


@in_trio
async def test_an_upgrade_that_is_refused_is_answered_in_http(tmp_path: Path) -> None:
    async def refuse(request: Request) -> Reply:
        raise KeyError(request.target)

    async with served(refuse, tmp_path) as server:
        client = await server.connect()
        for _ in range(2):
            await client.send(post("/attach", b"", "Connection: Upgrade", "Upgrade: tcp"))
            assert (await client.response("POST")).status == 500
