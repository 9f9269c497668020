"""Swarms, and what lives in them: this engine is in none, and answers as any engine that is in
none.
"""

from typing import Any, Final

from engine.api.filters import decode_filters
from engine.api.http.json_bodies import Json, read_json
from engine.api.http.operations import Operation, flag, integer, text
from engine.api.http.replies import Reply
from engine.api.http.requests import Query, Request
from engine.api.http.router import Route
from engine.errors import InvalidRequest, Unavailable, Unsupported

_KINDS: Final = ("services", "tasks", "nodes", "secrets", "configs")
_FOR_MANAGERS: Final = (
    ("GET", "/swarm"),
    ("GET", "/swarm/unlockkey"),
    ("POST", "/swarm/unlock"),
    ("POST", "/services/create"),
    ("POST", "/secrets/create"),
    ("POST", "/configs/create"),
    *(("GET", f"/{kind}") for kind in _KINDS),
    *(("GET", f"/{kind}/{{id}}") for kind in _KINDS),
    *(("DELETE", f"/{kind}/{{id}}") for kind in _KINDS if kind != "tasks"),
)
_LOGS_QUERY: Final = (flag("stdout"), flag("stderr"))
_UPDATES: Final = (
    ("/swarm/update", "swarm"),
    ("/services/{id}/update", "service"),
    ("/nodes/{id}/update", "node"),
    ("/secrets/{id}/update", "secret"),
    ("/configs/{id}/update", "config"),
)


class NotInASwarm(Unavailable):
    """What only a swarm has was asked of an engine that is in none."""


def routes() -> tuple[Route, ...]:
    """Who answers what. Logs come first: an ID may have slashes, as any name."""
    return (
        Route(
            "GET",
            "/services/{id}/logs",
            logs,
            Operation(
                summary="Read what a service of a swarm has written: there is none.",
                query=(*_LOGS_QUERY,),
            ),
        ),
        Route(
            "GET",
            "/tasks/{id}/logs",
            logs,
            Operation(
                summary="Read what a task of a swarm has written: there is none.",
                query=(*_LOGS_QUERY,),
            ),
        ),
        *(_for_manager(method, path) for method, path in _FOR_MANAGERS),
        *(_update(path, noun) for path, noun in _UPDATES),
        Route(
            "POST",
            "/swarm/init",
            begin,
            Operation(summary="Begin a swarm: not supported.", body=Json),
        ),
        Route(
            "POST",
            "/swarm/join",
            begin,
            Operation(summary="Join a swarm: not supported.", body=Json),
        ),
        Route("POST", "/swarm/leave", leave, Operation(summary="Leave the swarm: there is none.")),
    )


def _for_manager(method: str, path: str) -> Route:
    operation = Operation(
        summary="Refused: this engine is in no swarm.",
        query=(text("filters", "Read, and without effect."),),
        body=Json if method == "POST" else None,
    )
    return Route(method, path, manage, operation)


async def manage(request: Request) -> Reply:
    """Whatever a swarm's manager would know or do; a request that is malformed is refused as
    that.
    """
    decode_filters(request.query.text("filters"))
    if request.method == "POST":
        await read_json(request, dict[str, Any])  # Any: nobody reads it
    raise _not_a_manager()


async def logs(request: Request) -> Reply:
    """``docker service logs``."""
    if not (request.query.flag("stdout") or request.query.flag("stderr")):
        raise InvalidRequest("Bad parameters: you must choose at least one stream")
    raise _not_a_manager()


def _update(path: str, noun: str) -> Route:
    async def update(request: Request) -> Reply:
        await read_json(request, dict[str, Any])  # Any: nobody reads it
        _check_version(request.query, noun)
        raise _not_a_manager()

    operation = Operation(
        summary=f"Change a {noun} of a swarm: there is none.",
        query=(integer("version", required=True),),
        body=Json,
    )
    return Route("POST", path, update, operation)


async def begin(request: Request) -> Reply:
    """``docker swarm init`` and ``join``: what there is to refuse for good."""
    await read_json(request, Json)
    raise Unsupported("swarm mode is not supported")


async def leave(_request: Request) -> Reply:
    """``docker swarm leave``."""
    raise NotInASwarm("This node is not part of a swarm")


def _not_a_manager() -> NotInASwarm:
    return NotInASwarm(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to'
        " swarm and try again."
    )


def _check_version(query: Query, noun: str) -> None:
    """A version is an unsigned number, in the words of Go's strconv."""
    text = query.text("version")
    if text.isascii() and text.isdigit() and int(text[:21]) < 1 << 64:
        return
    reason = "value out of range" if text.isascii() and text.isdigit() else "invalid syntax"
    raise InvalidRequest(
        f"invalid {noun} version '{text}': strconv.ParseUint: parsing \"{text}\": {reason}"
    )
