"""Test HTTP/1.1 on a real socket: bodies, keep-alive, time limits."""

import json
from pathlib import Path

import pytest
import trio

from engine.api.http.http11 import Limits
from engine.api.http.replies import JSON, Answer, Reply, Sink, Streamed
from engine.api.http.requests import Request
from engine.errors import Conflict, NotModified
from tests.api.minimal_server import Client, Served, get, in_trio, post, served


class SampleApplication:
    """Answers by path; remembers how its handlers ended."""

    def __init__(self) -> None:
        self.entered = trio.Event()
        self.ended = trio.Event()
        self.asked: list[str] = []

    async def __call__(self, request: Request) -> Reply:
        self.asked.append(request.target)
        match request.target:
            case "/echo":
                return Answer(200, await request.body.read(1000), "text/plain")
            case "/count":
                return Answer(200, str(await self._count(request)).encode(), "text/plain")
            case "/stream":
                return Streamed(self._three_parts, JSON)
            case "/cut":
                return Streamed(self._part_and_failure, JSON)
            case "/follow":
                return Streamed(self._forever, JSON, endless=True)
            case "/slow":
                return await self._wait()
            case "/bug":
                raise ZeroDivisionError
            case "/conflict":
                raise Conflict("it is in the way")
            case "/same":
                raise NotModified
            case _:
                return Answer(200, b"hello", "text/plain", (("X-Split", "a\r\nb"),))

    async def _count(self, request: Request) -> int:
        size = 0
        while chunk := await request.body.next_chunk():
            size += len(chunk)
        return size

    async def _three_parts(self, send: Sink) -> None:
        for part in (b"one", b"", b"two", b"three"):
            await send(part)

    async def _part_and_failure(self, send: Sink) -> None:
        await send(b"one")
        raise Conflict("too late to say so")

    async def _forever(self, send: Sink) -> None:
        await send(b"first")
        await self._wait()

    async def _wait(self) -> Reply:
        self.entered.set()
        try:
            await trio.sleep_forever()
        finally:
            self.ended.set()


def message(body: bytes) -> str:
    answer: dict[str, str] = json.loads(body)
    assert answer.keys() == {"message"}
    return answer["message"]


async def is_closed(client: Client) -> bool:
    return await client.rest() == b""


@in_trio
async def test_an_answer_carries_what_clients_negotiate_by(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        response = await server.ask(get("/"))

    assert (response.status, response.reason, response.body) == (200, b"OK", b"hello")
    assert response.headers["api-version"] == "1.51"
    assert response.headers["ostype"] == "linux"
    assert response.headers["docker-experimental"] == "false"
    assert response.headers["server"] == "Tests/1 (linux)"
    assert len(response.headers["x-request-id"]) == 32
    assert response.headers["x-split"] == "a  b", "a value can't begin a header of its own"


@in_trio
async def test_a_connection_serves_many_requests_each_with_its_own_correlation(
    tmp_path: Path,
) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        client = await server.connect()
        seen = set()
        for _ in range(3):
            await client.send(post("/echo", b"abc"))
            response = await client.response("POST")
            assert response.body == b"abc"
            seen.add(response.headers["x-request-id"])

    assert len(seen) == 3


@in_trio
async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        client = await server.connect()
        await client.send(post("/echo", b"1") + get("/") + post("/echo", b"2"))

        bodies = [(await client.response()).body for _ in range(3)]

    assert bodies == [b"1", b"hello", b"2"]


@in_trio
async def test_a_request_may_arrive_byte_by_byte(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        client = await server.connect()
        for byte in post("/echo", b"xyz"):
            await client.send(bytes([byte]))

        assert (await client.response()).body == b"xyz"


@in_trio
async def test_chunked_bodies_work_both_ways(tmp_path: Path) -> None:
    chunked = b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    async with served(SampleApplication(), tmp_path) as server:
        client = await server.connect()
        await client.send(chunked)
        assert (await client.response()).body == b"abcde"

        await client.send(get("/stream"))
        response = await client.response()

        assert response.body == b"onetwothree"
        assert response.headers["transfer-encoding"] == "chunked"
        await client.send(get("/"))
        assert (await client.response()).status == 200


@in_trio
async def test_an_upload_of_any_size_is_streamed(tmp_path: Path) -> None:
    size = 5_000_000
    async with served(SampleApplication(), tmp_path) as server:
        assert (await server.ask(post("/count", bytes(size)))).body == str(size).encode()


@in_trio
async def test_a_client_that_expects_100_is_invited(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        client = await server.connect()
        await client.send(
            post("/echo", b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 3")
        )
        assert await client.stream.receive_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abc")

        assert (await client.response()).body == b"abc"


@in_trio
async def test_a_client_that_expects_100_without_a_body_is_answered_and_closed(
    tmp_path: Path,
) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        client = await server.connect()
        await client.send(
            b"POST /conflict HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        response = await client.response("POST")

        assert response.status == 409
        assert response.headers["connection"] == "close"
        assert await is_closed(client)


@in_trio
async def test_an_unread_short_body_does_not_end_the_connection(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        client = await server.connect()
        await client.send(post("/", b"x" * 1000)[:-500])
        await client.send(b"x" * 500)
        assert (await client.response()).status == 200
        await client.send(get("/"))

        assert (await client.response()).status == 200


@in_trio
async def test_a_large_body_that_nobody_reads_ends_the_connection_after_the_answer(
    tmp_path: Path,
) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        client = await server.connect()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_and_shrug, client, post("/conflict", bytes(3_000_000)))
            response = await client.response("POST")

    assert response.status == 409
    assert response.headers["connection"] == "close"


async def send_and_shrug(client: Client, data: bytes) -> None:
    try:
        await client.send(data)
    except trio.BrokenResourceError:
        return


@in_trio
async def test_head_gets_the_head_alone(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        client = await server.connect()
        for path, length in (("/", "5"), ("/conflict", "31"), ("/stream", None)):
            await client.send(get(path).replace(b"GET", b"HEAD"))
            response = await client.response("HEAD")
            assert (response.body, response.headers.get("content-length")) == (b"", length)


@in_trio
async def test_errors_become_status_codes_and_json(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        conflict = await server.ask(get("/conflict"))
        same = await server.ask(get("/same"))
        bug = await server.ask(get("/bug"))

    assert (conflict.status, message(conflict.body)) == (409, "it is in the way")
    assert (same.status, same.body) == (304, b"")
    assert bug.status == 500
    assert bug.headers["x-request-id"] in message(bug.body)


@in_trio
async def test_a_failure_behind_the_head_leaves_a_body_without_an_end(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        client = await server.connect()
        await client.send(get("/cut"))

        everything = await client.rest()

    assert everything.endswith(b"3\r\none\r\n")


@in_trio
async def test_http_1_0_gets_a_body_that_ends_with_the_connection(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        client = await server.connect()
        await client.send(get("/stream", version="1.0"))
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")

    assert body == b"onetwothree"
    assert b"Transfer-Encoding" not in head


@in_trio
async def test_a_client_may_close_after_its_request(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        asked = await server.connect()
        await asked.send(get("/", "Connection: close"))
        assert (await asked.response()).headers["connection"] == "close"
        assert await is_closed(asked)

        half_closed = await server.connect()
        await half_closed.send(get("/stream"))
        await half_closed.stream.send_eof()
        assert (await half_closed.response()).body == b"onetwothree"
        assert await is_closed(half_closed)


HOSTILE = {
    "not_http": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    "empty_method": (b" / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "no_host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "nul_in_header": (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n", 400),
    "space_in_header_name": (b"GET / HTTP/1.1\r\nHost: h\r\nX : a\r\n\r\n", 400),
    "two_lengths": (
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        400,
    ),
    "negative_length": (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
    "huge_length": (
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n",
        400,
    ),
    "unknown_coding": (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    "bad_chunk": (
        b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        400,
    ),
    "chunk_without_end": (
        b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        400,
    ),
    "coding_and_length": (
        b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "coding_twice": (
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    "coding_in_http_1_0": (
        b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "length_with_sign": (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", 400),
    "folded_header": (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400),
    "two_hosts": (b"GET / HTTP/1.1\r\nHost: h\r\nHost: g\r\n\r\n", 400),
    "bare_line_feeds": (b"GET / HTTP/1.1\nHost: h\n\n", 400),
    "carriage_return_in_header": (b"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400),
    "space_in_target": (b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "later_version": (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    "no_version": (b"GET /\r\n\r\n", 505),
    "http_2_with_prior_knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "other_expectation": (post("/echo", b"abc", "Expect: the-unexpected"), 417),
    "many_headers": (get("/", *(f"X-{number}: y" for number in range(300))), 431),
    "long_chunk_extension": (
        b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 5000,
        400,
    ),
    "huge_chunk": (
        b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"f" * 16
        + b"\r\n",
        400,
    ),
    "endless_trailers": (
        b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        + b"a: b\r\n" * 20_000,
        400,
    ),
    "large_head": (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 70_000, 431),
    "large_target": (b"GET /" + b"a" * 70_000, 431),
    "large_body": (post("/echo", b"x" * 1001), 413),
}


@pytest.mark.parametrize("name", HOSTILE)
@in_trio
async def test_hostile_input_is_refused_in_json_and_the_server_keeps_running(
    name: str, tmp_path: Path
) -> None:
    data, status = HOSTILE[name]
    async with served(SampleApplication(), tmp_path) as server:
        response = await server.ask(data)

        assert response.status == status
        assert message(response.body)
        assert (await server.ask(get("/"))).status == 200


@pytest.mark.parametrize(
    "request_line",
    ["GET / HTTP/1.1", "GET http://h/ HTTP/1.1", "\r\n\r\nGET / HTTP/1.1", "GET / HTTP/1.0"],
)
@in_trio
async def test_unusual_valid_requests_are_answered(request_line: str, tmp_path: Path) -> None:
    data = f"{request_line}\r\nHOST:h\r\nX-Y: \t z \r\n\r\n".encode()
    async with served(SampleApplication(), tmp_path) as server:
        at_once = await server.ask(data)
        client = await server.connect()
        for byte in data:
            await client.send(bytes([byte]))
        in_pieces = await client.response()

    assert [at_once.status, in_pieces.status] == [200, 200]


@in_trio
async def test_a_request_may_wait_behind_a_body_in_chunks(tmp_path: Path) -> None:
    chunked = b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n"
    async with served(SampleApplication(), tmp_path) as server:
        client = await server.connect()
        await client.send(chunked + get("/") + chunked)

        bodies = [(await client.response()).body for _ in range(3)]

    assert bodies == [b"a", b"hello", b"a"]


@in_trio
async def test_a_torn_request_ends_quietly(tmp_path: Path) -> None:
    whole = post("/echo", b"abcdef")
    async with served(SampleApplication(), tmp_path) as server:
        for length in range(1, len(whole)):
            client = await server.connect()
            await client.send(whole[:length])
            await client.stream.aclose()

        assert (await server.ask(get("/"))).status == 200


@in_trio
async def test_a_slow_head_is_not_waited_for(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path, Limits(head_s=10)) as server:
        client = await server.connect()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip, client)
            response = await client.response()
            nursery.cancel_scope.cancel()

    assert response.status == 408
    assert trio.current_time() - began == pytest.approx(10, abs=2)


async def drip(client: Client) -> None:
    await client.send(b"GET / HTTP/1.1\r\nHost: h\r\nX: ")
    while True:
        await client.send(b"a")
        await trio.sleep(1)


@in_trio
async def test_a_slow_json_body_is_not_waited_for(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path, Limits(body_s=20)) as server:
        response = await server.ask(post("/echo", b"abc")[:-1])

    assert response.status == 408


@in_trio
async def test_a_silent_connection_is_closed_without_an_answer(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path, Limits(idle_s=100)) as server:
        client = await server.connect()
        await client.send(get("/"))
        await client.response()

        assert await is_closed(client)
        assert trio.current_time() < 200


@pytest.mark.parametrize("path", ["/slow", "/follow"])
@in_trio
async def test_a_handler_is_cancelled_when_its_client_hangs_up(path: str, tmp_path: Path) -> None:
    handlers = SampleApplication()
    async with served(handlers, tmp_path) as server:
        client = await server.connect()
        await client.send(get(path))
        await handlers.entered.wait()
        await client.stream.aclose()

        with trio.fail_after(5):
            await handlers.ended.wait()


@in_trio
async def test_a_half_closed_client_is_still_waited_on(tmp_path: Path) -> None:
    handlers = SampleApplication()
    async with served(handlers, tmp_path) as server:
        client = await server.connect()
        await client.send(get("/follow"))
        await handlers.entered.wait()
        await client.stream.send_eof()
        await trio.testing.wait_all_tasks_blocked(0.01)

        assert not handlers.ended.is_set()


async def stopped_while(handlers: SampleApplication, server: Served, path: str) -> Client:
    client = await server.connect()
    await client.send(get(path))
    await handlers.entered.wait()
    server.server.stop()
    return client


@in_trio
async def test_shutting_down_ends_a_followed_stream_in_order(tmp_path: Path) -> None:
    handlers = SampleApplication()
    async with served(handlers, tmp_path) as server:
        client = await stopped_while(handlers, server, "/follow")

        assert (await client.response()).body == b"first"
        assert await is_closed(client)
        assert trio.current_time() < 1


@in_trio
async def test_shutting_down_waits_for_a_request_only_so_long(tmp_path: Path) -> None:
    handlers = SampleApplication()
    async with served(handlers, tmp_path) as server:
        client = await stopped_while(handlers, server, "/slow")

        assert await is_closed(client)
        assert trio.current_time() == pytest.approx(10, abs=1)


@in_trio
async def test_shutting_down_ends_idle_connections_at_once(tmp_path: Path) -> None:
    async with served(SampleApplication(), tmp_path) as server:
        fresh = await server.connect()
        used = await server.connect()
        await used.send(get("/"))
        await used.response()
        server.server.stop()

        assert await is_closed(fresh)
        assert await is_closed(used)
        assert trio.current_time() < 1
