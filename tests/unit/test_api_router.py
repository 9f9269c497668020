"""Test paths and versions, as Docker's clients write them."""

import pytest
import trio

from engine.api.http.operations import Operation
from engine.api.http.replies import Answer, Reply
from engine.api.http.requests import Body, Request
from engine.api.http.router import Route, Router, split_version
from engine.domain.event import Actor, ActorKind
from engine.errors import InvalidRequest, NotFound


class NoBody(Body):
    async def next_chunk(self) -> bytes:
        return b""


async def answer_params(request: Request) -> Reply:
    return Answer(200, repr(request.params).encode())


async def answer_version(request: Request) -> Reply:
    return Answer(200, repr(request.version).encode())


NOTHING = Operation(summary="Answer.")
ROUTER = Router(
    [
        Route("GET", "/_ping", answer_version, NOTHING),
        Route("GET", "/containers/json", answer_params, NOTHING),
        Route("GET", "/containers/{name}/json", answer_params, NOTHING),
        Route("GET", "/images/{name}/json", answer_params, NOTHING),
        Route("DELETE", "/images/{name}", answer_params, NOTHING),
    ]
)


def ask_route(route: Route) -> Reply:
    """Return a route's own answer."""
    request = Request(
        route.method, route.template, {}, NoBody(), Actor(kind=ActorKind.USER), "0" * 32
    )
    return trio.run(Router([route]).answer, request)


def ask(method: str, target: str) -> str:
    request = Request(method, target, {}, NoBody(), Actor(kind=ActorKind.USER), "0" * 32)
    reply = trio.run(ROUTER.answer, request)
    assert isinstance(reply, Answer)
    return reply.body.decode()


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/containers/web/json", "web"),
        ("/v1.41/containers/web/json?size=1", "web"),
        ("/containers//web/json", "web"),
        ("/images/a.example:5000/b/c:tag/json", "a.example:5000/b/c:tag"),
        ("/images/a%2Fb%3Atag/json", "a/b:tag"),
        ("/images/json/json", "json"),
        ("/containers/%00%ff/json", "\x00\ufffd"),
        ("http://docker/containers/web/json", "web"),
    ],
)
def test_a_path_parameter_may_have_any_text(target: str, name: str) -> None:
    assert ask("GET", target) == repr({"name": name})


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("GET", ""),
        ("GET", "*"),
        ("GET", "/nope"),
        ("GET", "/v1.41"),
        ("GET", "/v1.41/"),
        ("GET", "/containers"),
        ("GET", "/containers//json/x"),
        ("POST", "/containers/json"),
        ("GET", "/images/json/"),
    ],
)
def test_an_unknown_path_or_method_is_not_found(method: str, target: str) -> None:
    with pytest.raises(NotFound, match="page not found"):
        ask(method, target)


def test_a_path_without_a_version_means_ours() -> None:
    assert ask("GET", "/_ping") == "(1, 51)"
    assert ask("GET", "/v1.24/_ping") == "(1, 24)"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.51.0", "(1, 51)"),
        ("1.041", "(1, 41)"),
        ("1.41.0.0", "(1, 41)"),
        ("1.24.1", "(1, 24, 1)"),
    ],
)
def test_leading_zeros_do_not_change_a_version(text: str, version: str) -> None:
    assert ask("GET", f"/v{text}/_ping") == version


def test_a_version_is_made_of_digits_and_dots() -> None:
    with pytest.raises(NotFound, match="page not found"):
        ask("GET", "/v1.4x/_ping")


def test_a_client_from_before_json_errors_is_refused_in_plain_text() -> None:
    assert ask("GET", "/v1.23/_ping") == (
        "client version 1.23 is too old. Minimum supported API version is 1.24,"
        " please upgrade your client to a newer version\n"
    )


@pytest.mark.parametrize("target", ["*", "/containers/json", "/v1.41/whatever"])
def test_options_are_answered_with_nothing(target: str) -> None:
    assert ask("OPTIONS", target) == ""


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("/v1.99/info", "client version 1.99 is too new. Maximum supported API version is 1.51"),
        ("/v1.510/info", "client version 1.510 is too new. Maximum supported API version is 1.51"),
        ("/v2/info", "client version 2 is too new. Maximum supported API version is 1.51"),
        (
            "/v1.9/info",
            "client version 1.9 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
        ),
        ("/v./info", r"client version . is too old"),
        (f"/v{'9' * 5000}/info", r"too new"),
    ],
)
def test_a_version_that_we_do_not_speak_is_refused_in_dockers_words(
    path: str, refusal: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        split_version(path)

    assert refusal in str(refused.value)
