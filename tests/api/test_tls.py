"""Test TLS: which clients are accepted, under which name, and streams that end one half at a
time.
"""

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import pytest
import trio

from engine.api.http.http11 import Limits
from engine.api.http.replies import Answer, Hijacked, Reply, Sink, Streamed
from engine.api.http.requests import Request
from engine.api.http.server import Server
from engine.api.http.sockets import Entrance
from engine.api.http.tls import TlsFiles, server_context
from engine.errors import Unavailable
from tests.api.certificates import Certificates
from tests.api.minimal_server import get, in_trio, post

Done = TypeVar("Done")

_BLOCK: Final = bytes(range(256)) * 256


class Engine:
    """Answers with the caller's name; ``/attach`` passes the connection to a monitor, which is the
    test.
    """

    def __init__(self) -> None:
        self.handed, self.taken = trio.open_memory_channel[tuple[trio.SocketStream, bytes]](1)

    async def __call__(self, request: Request) -> Reply:
        match request.target:
            case "/attach":
                return Hijacked(self._take, "application/vnd.docker.raw-stream")
            case "/follow":
                return Streamed(self._forever, "text/plain", endless=True)
            case "/large":
                return Answer(200, _BLOCK * 16, "text/plain")
            case _:
                return Answer(200, f"{request.actor.name} {request.actor.address}".encode())

    async def _take(self, connection: socket.socket, unread: bytes) -> None:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(connection))
        await self.handed.send((stream, unread))

    async def _forever(self, send: Sink) -> None:
        await send(b"first")
        await trio.sleep_forever()


class TlsClient:
    """A client that ends its two directions separately, as Go's can and Python's streams can't."""

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        self.stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    async def send(self, data: bytes) -> None:
        await self._until_done(lambda: self._tls.write(data))

    async def close_notify(self) -> None:
        with suppress(ssl.SSLError):
            self._tls.unwrap()
        await self._flush()

    async def receive(self) -> bytes:
        return await self._until_done(lambda: self._tls.read(1 << 16))

    async def receive_exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            block = await self.receive()
            assert block, "cut short"
            received += block
        return received

    async def rest(self) -> bytes:
        """Return everything until ``close_notify``, which must come."""
        parts = []
        with suppress(ssl.SSLZeroReturnError):
            while part := await self.receive():
                parts.append(part)
        return b"".join(parts)

    async def head(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await self._until_done(lambda: self._tls.read(1))
        return head

    async def _until_done(self, step: Callable[[], Done]) -> Done:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self.stream.receive_some()
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                await self._flush()
                return done

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self.stream.send_all(self._outgoing.read())


class Port:
    """A server on a port of 127.0.0.1."""

    def __init__(self, server: Server, engine: Engine, number: int, certificates: Certificates):
        self.server, self.engine = server, engine
        self._number = number
        self._certificates = certificates
        self._opened: list[trio.SocketStream] = []

    async def plain(self) -> trio.SocketStream:
        self._opened.append(await trio.open_tcp_stream("127.0.0.1", self._number))
        return self._opened[-1]

    async def connect(self, context: ssl.SSLContext | None = None) -> TlsClient:
        return TlsClient(await self.plain(), context or self._certificates.client_context())

    async def attached(self) -> tuple[TlsClient, trio.SocketStream]:
        """Connect a client and a monitor."""
        client = await self.connect()
        await client.send(post("/attach", b"", "Connection: Upgrade", "Upgrade: tcp"))
        assert (await client.head()).startswith(b"HTTP/1.1 101 UPGRADED")
        monitor, _ = await self.engine.taken.receive()
        self._opened.append(monitor)
        return client, monitor

    def close(self) -> None:
        for stream in self._opened:
            stream.socket.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def tls_port(
    certificates: Certificates, *, verify: bool = True, limits: Limits | None = None
) -> AsyncIterator[Port]:
    place = certificates.directory / "server"
    authority = place / "ca.pem" if verify else None
    files = TlsFiles(certificate=place / "cert.pem", key=place / "key.pem", authority=authority)
    engine = Engine()
    server = Server(engine, limits=limits)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, [Entrance(listener, server_context(files))])
        number = listener.socket.getsockname()[1]
        port = Port(server, engine, number, certificates)
        try:
            yield port
        finally:
            server.stop()
            port.close()


async def answered(client: TlsClient, path: str = "/") -> bytes:
    await client.send(get(path, "Connection: close"))
    return (await client.rest()).partition(b"\r\n\r\n")[2]


@in_trio
async def test_a_caller_is_known_by_the_name_in_the_certificate_and_by_address(
    certificates: Certificates,
) -> None:
    async with tls_port(certificates) as port:
        client = await port.connect()
        own = client.stream.socket.getsockname()

        assert await answered(client) == f"anna tcp://127.0.0.1:{own[1]}".encode()


@in_trio
async def test_without_a_common_name_an_alternative_one_does(certificates: Certificates) -> None:
    certificates.issue("nameless", "bob@example.org")
    async with tls_port(certificates) as port:
        client = await port.connect(certificates.client_context("nameless"))

        assert (await answered(client)).startswith(b"bob@example.org tcp://")


@in_trio
async def test_clients_without_a_certificate_of_the_authority_are_refused(
    certificates: Certificates, tmp_path: Path
) -> None:
    strangers = Certificates.make(tmp_path)
    forged = certificates.client_context(None)
    forged.load_cert_chain(tmp_path / "client" / "cert.pem", tmp_path / "client" / "key.pem")
    async with tls_port(certificates) as port:
        for context in (certificates.client_context(None), forged):
            with pytest.raises((ssl.SSLError, trio.BrokenResourceError)):
                await answered(await port.connect(context))
        assert await answered(await port.connect())
    assert strangers


@in_trio
async def test_tls_without_verification_accepts_every_client(
    certificates: Certificates,
) -> None:
    async with tls_port(certificates, verify=False) as port:
        client = await port.connect(certificates.client_context(None))

        assert (await answered(client)).startswith(b" tcp://127.0.0.1:")


@in_trio
async def test_versions_before_1_2_are_refused(certificates: Certificates) -> None:
    context = certificates.client_context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with tls_port(certificates) as port:
        with pytest.raises((ssl.SSLError, trio.BrokenResourceError)):
            await answered(await port.connect(context))


@in_trio
async def test_plain_http_is_answered_with_an_error(certificates: Certificates) -> None:
    async with tls_port(certificates) as port:
        stream = await port.plain()
        await stream.send_all(get("/"))

        answer = b"".join([bytes(part) async for part in stream])

    assert answer.startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert b"Client sent an HTTP request to an HTTPS server." in answer


@in_trio
async def test_a_handshake_is_not_waited_for_for_ever(certificates: Certificates) -> None:
    async with tls_port(certificates, limits=Limits(head_s=10)) as port:
        stream = await port.plain()
        await stream.send_all(b"\x16\x03\x01\x02\x00")

        assert await stream.receive_some() == b""
        assert trio.current_time() == pytest.approx(10, abs=1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@in_trio
async def test_large_answers_arrive_whole(
    version: ssl.TLSVersion, certificates: Certificates
) -> None:
    context = certificates.client_context()
    context.minimum_version = context.maximum_version = version
    async with tls_port(certificates) as port:
        assert await answered(await port.connect(context), "/large") == _BLOCK * 16


@in_trio
async def test_the_end_of_input_reaches_the_monitor_and_output_goes_on(
    certificates: Certificates,
) -> None:
    async with tls_port(certificates) as port:
        client, monitor = await port.attached()
        await client.send(b"typed")
        assert await monitor.receive_some() == b"typed"
        await client.close_notify()
        assert await monitor.receive_some() == b""

        await monitor.send_all(b"output after that")
        assert await client.receive_exactly(17) == b"output after that"
        await monitor.aclose()
        assert await client.rest() == b""


@in_trio
async def test_what_a_monitor_left_behind_arrives_before_the_end(
    certificates: Certificates,
) -> None:
    async with tls_port(certificates) as port:
        client, monitor = await port.attached()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_and_close, monitor, _BLOCK * 64)
            received = await client.rest()

    assert received == _BLOCK * 64


async def send_and_close(monitor: trio.SocketStream, data: bytes) -> None:
    await monitor.send_all(data)
    await monitor.aclose()


@in_trio
async def test_megabytes_go_both_ways_at_once(certificates: Certificates) -> None:
    async with tls_port(certificates) as port:
        client, monitor = await port.attached()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo, monitor)
            nursery.start_soon(client.send, _BLOCK * 64)
            received = await client.receive_exactly(len(_BLOCK) * 64)
            await client.close_notify()

        assert received == _BLOCK * 64
        assert await client.rest() == b""


async def echo(monitor: trio.SocketStream) -> None:
    async for block in monitor:
        await monitor.send_all(block)
    await monitor.aclose()


@in_trio
async def test_a_client_that_does_not_read_makes_the_monitor_wait(
    certificates: Certificates,
) -> None:
    async with tls_port(certificates) as port:
        _, monitor = await port.attached()
        sent = 0
        with trio.move_on_after(5):
            while True:
                await monitor.send_all(_BLOCK)
                sent += len(_BLOCK)

        assert sent < 32 << 20, "kernel buffers, and one block"


@in_trio
async def test_a_client_that_does_not_read_is_dropped_when_its_monitor_ends(
    certificates: Certificates,
) -> None:
    async with tls_port(certificates) as port:
        client, monitor = await port.attached()
        stalled = 0
        while stalled < 3:  # the clock may have jumped once on a busy machine
            with trio.move_on_after(5) as waited:
                await monitor.send_all(_BLOCK)
            stalled = stalled + 1 if waited.cancelled_caught else 0
        await monitor.aclose()
        await trio.sleep(30)

        with pytest.raises((ssl.SSLError, trio.BrokenResourceError)):
            await client.rest()


@in_trio
async def test_a_client_that_vanishes_is_gone_for_the_monitor(certificates: Certificates) -> None:
    async with tls_port(certificates) as port:
        client, monitor = await port.attached()
        client.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.stream.socket.close()

        assert await monitor.receive_some() == b""
        with pytest.raises(trio.BrokenResourceError):
            await monitor.send_all(b"into the void")


@in_trio
async def test_input_that_a_monitor_no_longer_reads_is_no_fault_of_the_client(
    certificates: Certificates,
) -> None:
    async with tls_port(certificates) as port:
        client, monitor = await port.attached()
        await monitor.send_all(b"last words")
        monitor.socket.shutdown(socket.SHUT_RD)
        await client.send(b"too late")
        await client.send(b"still too late")

        assert await client.receive_exactly(10) == b"last words"
        await monitor.aclose()
        assert await client.rest() == b""


@in_trio
async def test_shutting_down_closes_streams_in_order(certificates: Certificates) -> None:
    async with tls_port(certificates) as port:
        attached, monitor = await port.attached()
        follower = await port.connect()
        await follower.send(get("/follow"))
        assert await follower.head()
        assert await follower.receive_exactly(len(b"5\r\nfirst\r\n")) == b"5\r\nfirst\r\n"
        port.server.stop()

        assert await attached.rest() == b""
        assert await monitor.receive_some() == b""
        assert await follower.rest() == b"0\r\n\r\n"
        assert trio.current_time() < 2


def test_files_that_are_none_are_named(certificates: Certificates, tmp_path: Path) -> None:
    place = certificates.directory / "server"
    missing, bad = tmp_path / "missing.pem", tmp_path / "bad.pem"
    bad.write_text("nonsense")
    for files, word in (
        (TlsFiles(certificate=missing, key=place / "key.pem"), "missing.pem"),
        (TlsFiles(certificate=place / "cert.pem", key=bad), "bad.pem"),
        (
            TlsFiles(certificate=place / "cert.pem", key=place / "key.pem", authority=bad),
            "CA certificate .*bad.pem",
        ),
    ):
        with pytest.raises(Unavailable, match=word):
            server_context(files)
