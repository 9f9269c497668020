"""Parts of Docker's API that this engine does not have yet, or will never have: each says so, none
is merely absent.
"""

from functools import partial
from typing import Final, TypedDict

from engine.api.filters import decode_filters
from engine.api.http.operations import Operation, text
from engine.api.http.replies import Answer, Reply, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.domain.image.reference import parse_reference
from engine.errors import InvalidRequest, Unsupported
from engine.service.prunes import Prunes

_NOT_YET: Final = (("POST", "/build", "building images"),)


class BuildsPruned(TypedDict):
    """What a prune of builds has removed."""

    CachesDeleted: None
    SpaceReclaimed: int


def routes(prunes: Prunes) -> tuple[Route, ...]:
    """Who answers that there is nothing."""
    return (
        *(_not_yet(method, path, what) for method, path, what in _NOT_YET),
        Route(
            "POST",
            "/build/cancel",
            cancel_build,
            Operation(
                summary="Cancel a build: there is none.",
                query=(text("id", required=True),),
                answers={200: None},
            ),
        ),
        Route(
            "POST",
            "/build/prune",
            partial(prune_builds, prunes),
            Operation(
                summary="Remove what builds have left: there is nothing.",
                query=(text("filters", "Read, and without effect."),),
                answers={200: BuildsPruned},
            ),
        ),
        Route(
            "POST",
            "/session",
            session,
            Operation(summary="Begin a session with a builder: not supported yet."),
        ),
        Route(
            "POST",
            "/grpc",
            session,
            Operation(summary="Speak gRPC with a builder: not supported yet."),
        ),
        Route(
            "GET",
            "/distribution/{name}/json",
            distribution,
            Operation(summary="Ask a registry about an image: not supported yet."),
        ),
    )


def _not_yet(method: str, path: str, what: str) -> Route:
    async def refuse(_request: Request) -> Reply:
        raise Unsupported(f"{what} is not supported yet")

    return Route(method, path, refuse, Operation(summary=f"Refused: {what} is not supported yet."))


async def prune_builds(prunes: Prunes, request: Request) -> Reply:
    """``docker builder prune``, and a part of ``docker system prune``: nothing was built, so
    nothing is kept.
    """
    decode_filters(request.query.text("filters"))
    await prunes.record("builder", 0, request.origin)
    return json_answer({"CachesDeleted": None, "SpaceReclaimed": 0})


async def cancel_build(request: Request) -> Reply:
    """Whatever is named, it is not being built."""
    if not request.query.text("id"):
        raise InvalidRequest("build ID not provided")
    return Answer(200)


async def session(request: Request) -> Reply:
    """What BuildKit's clients build through."""
    if not request.wants_upgrade:
        raise InvalidRequest("no upgrade proto in request")
    raise Unsupported("building images is not supported yet")


async def distribution(request: Request) -> Reply:
    """What a registry knows of an image."""
    parse_reference(request.params["name"])
    raise Unsupported("asking registries is not supported yet")
