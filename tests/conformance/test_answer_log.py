"""Test the way from a recorded answer to the failure of the test that caused it."""

from pathlib import Path

import pytest

from engine.api.http.http11 import Application
from engine.api.http.operations import Operation
from engine.api.http.replies import JSON, Reply, Sink, Streamed, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route, Router
from engine.errors import Conflict, NotModified
from tests.api.minimal_server import get, in_trio, post, served
from tests.conformance import answer_log
from tests.conformance.answer_log import AnswerLog
from tests.harness.recording import Recorder


async def faults_of(application: Application, directory: Path, request: bytes) -> list[str]:
    """Return the faults that the log finds in one request's answer."""
    answers = AnswerLog(directory / "answers")
    answers.close()
    async with served(Recorder(answers.path).around(application), directory) as toy:
        await toy.ask(request)
    return answers.new_faults()


@in_trio
async def test_a_wrong_answer_is_reported(tmp_path: Path) -> None:
    async def lie(_request: Request) -> Reply:
        return json_answer({"StatusCode": "3"})

    (found,) = await faults_of(lie, tmp_path, post("/containers/x/wait", b""))

    assert "POST /containers/x/wait answered 200: /StatusCode" in found


@pytest.mark.parametrize("query", ["", "?colour=red", "?all=1"])
@in_trio
async def test_a_parameter_that_is_not_described_is_reported(query: str, tmp_path: Path) -> None:
    async def paint(request: Request) -> Reply:
        request.query.text("colour")
        return json_answer([])

    routed = Router([Route("GET", "/containers/json", paint, Operation(summary="Paint."))])

    (found,) = await faults_of(routed.answer, tmp_path, get(f"/containers/json{query}"))

    assert "reads ?colour of the query" in found


@in_trio
async def test_a_right_answer_is_not(tmp_path: Path) -> None:
    async def answer(_request: Request) -> Reply:
        return json_answer({"StatusCode": 3})

    assert await faults_of(answer, tmp_path, post("/containers/x/wait", b"")) == []


@in_trio
async def test_an_error_is_validated_by_the_status_that_it_becomes(tmp_path: Path) -> None:
    async def refuse(_request: Request) -> Reply:
        raise Conflict("no")

    (found,) = await faults_of(refuse, tmp_path, get("/version"))

    assert "answered 409: GET /version is described with [200, 400, 500, 501, 503]" in found


@in_trio
async def test_not_modified_is_no_error(tmp_path: Path) -> None:
    async def decline(_request: Request) -> Reply:
        raise NotModified

    assert await faults_of(decline, tmp_path, post("/containers/x/start", b"")) == []


@in_trio
async def test_lines_of_a_stream_are_joined_before_they_are_validated(tmp_path: Path) -> None:
    async def stream(_request: Request) -> Reply:
        async def produce(send: Sink) -> None:
            await send(b'{"Status')
            await send(b'Code": 1}\n{"StatusCode": "one"}\n{"Status')

        return Streamed(produce, JSON)

    (found,) = await faults_of(stream, tmp_path, post("/containers/x/wait", b""))

    assert "/StatusCode" in found


def test_the_test_that_caused_a_wrong_answer_fails(tmp_path: Path) -> None:
    answers = AnswerLog(tmp_path / "answers")
    line = (
        b'{"method":"GET","target":"/nosuch","status":200,"media_type":"","body":"","stream":""}\n'
    )
    answers.path.write_bytes(line)

    with pytest.raises(AssertionError, match="GET /nosuch answered 200: no such path is described"):
        answer_log.assert_all_conform()

    answers.path.write_bytes(line + line[:20])
    assert answers.new_faults() == [], "a line that is being written is read when it is whole"
    answers.close()
