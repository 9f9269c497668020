"""Test that no request of any shape makes the engine fail, and that a refused one leaves nothing
behind.
"""

import json
import os
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, given, note, settings

from tests.conformance.document import document
from tests.conformance.random_requests import EXEC, AnyRequest, any_request
from tests.conformance.raw_http import Response, ask, request_bytes
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

OF_SWARMS: Final = ("/swarm", "/services", "/tasks", "/nodes", "/secrets", "/configs", "/volumes/")
"""Paths where 503 says that there is no swarm; volumes can be updated in a swarm only."""
OF_REGISTRIES: Final = ("/auth",)
"""Paths where 503 says that a registry can't be reached: here none can."""
WAITING: Final = ("/containers/{id}/wait",)
"""Paths that answer only after an event, which may never come."""
STOPS_AT_ONCE: Final = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done")
PATIENCE_S: Final = 0.2
EXAMPLES: Final = int(os.environ.get("SHIPSLOG_EXAMPLES", "600"))


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(engine: DaemonUnderTest) -> Iterator[None]:
    """Check that everything can be removed after any requests, and the daemon is as before."""
    yield
    everything_removed(engine)
    assert engine.api.verify()["ok"] is True, engine.api.verify()
    assert "request_failed" not in engine.log, engine.log[
        engine.log.index("request_failed") - 100 :
    ][:6000]
    assert "Traceback" not in engine.log


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(any_request())
def test_no_request_fails_and_none_that_is_refused_leaves_anything(
    engine: DaemonUnderTest, asked: AnyRequest
) -> None:
    have_something_to_name(engine)
    before = what_there_is(engine)

    response = put(engine, asked)

    note(f"response: {response}")
    assert_no_failure(asked, response)
    if response is None or response.status >= 400:
        assert what_there_is(engine) <= before


def put(engine: DaemonUnderTest, asked: AnyRequest) -> Response | None:
    target = asked.target
    if EXEC.encode() in target:
        target = target.replace(EXEC.encode(), engine.api.create_exec("busy", "cat").encode())
    request = request_bytes(asked.method, target, *asked.headers, body=asked.body)
    waiting = asked.operation.template in WAITING
    response = ask(
        engine.api.socket_path, request, **({"patience_s": PATIENCE_S} if waiting else {})
    )
    assert response is not None or waiting, "no answer"
    return response


def assert_no_failure(asked: AnyRequest, response: Response | None) -> None:
    if response is None or response.status < 400:
        return
    if asked.method != "HEAD":
        assert words(response), "an error without words"
    allowed = response.status < 500 or response.status == 501
    unavailable = asked.operation.template.startswith((*OF_SWARMS, *OF_REGISTRIES))
    assert allowed or (response.status == 503 and unavailable)


def words(response: Response) -> str:
    """Return an error's message; clients from before API 1.24 get it as plain text."""
    if response.media_type == "text/plain":
        return response.body.decode()
    return str(json.loads(response.body)["message"])


def have_something_to_name(engine: DaemonUnderTest) -> None:
    """Create again what earlier requests have removed, before the next one."""
    api = engine.api
    if api.request("GET", "/images/busybox/json").status != 200:
        engine.import_busybox()
    found = {each["Names"][0].removeprefix("/"): each["State"] for each in api.ps()}
    if "idle" not in found:
        api.create("idle", "true")
    if found.get("busy") != "running":
        if "busy" in found:
            api.remove("busy")
        api.run("busy", *STOPS_AT_ONCE)
    if len(found) > 20:
        everything_removed(engine)
        have_something_to_name(engine)


def what_there_is(engine: DaemonUnderTest) -> set[str]:
    containers = {each["Id"] for each in engine.api.ps()}
    images = {each["Id"] for each in engine.api.get("/images/json", all=1)}
    networks = {each["Id"] for each in engine.api.get("/networks")}
    return containers | images | networks


def everything_removed(engine: DaemonUnderTest) -> None:
    for each in engine.api.ps():
        engine.api.request("DELETE", f"/containers/{each['Id']}", force=1)
    eventually(lambda: engine.api.ps() == [], "no container is left")


def test_every_path_with_every_method_answers(engine: DaemonUnderTest) -> None:
    have_something_to_name(engine)
    for operation in document().operations:
        path = operation.template.replace("{id}", "nosuch").replace("{name}", "nosuch")
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            for body in (b"", b"{", b"[]", b"7"):
                headers = ("Content-Type: application/json",) if body else ()
                asked = AnyRequest(operation, method, path.encode(), headers, body)
                have_something_to_name(engine)
                assert_no_failure(asked, put(engine, asked))


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /containers/\xff\xfe/json HTTP/1.1",
        b"GET /containers/a\x00b/json HTTP/1.1",
        b"GET /containers/json?all=\xff HTTP/1.1",
        b"GET  /containers/json HTTP/1.1",
        b"GET /containers/json",
        b"GET /containers/json HTTP/9.9",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET http://[::1/containers/json HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1",
    ],
)
def test_malformed_http_gets_an_answer(engine: DaemonUnderTest, request_line: bytes) -> None:
    response = ask(
        engine.api.socket_path, request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n"
    )

    assert response is not None
    assert response.status < 500 or response.status == 505
    assert response.status < 400 or words(response)
