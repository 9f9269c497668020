"""Plugins: this engine has none and takes none, and answers as any engine that has none."""

from typing import Any, Final, TypedDict

from engine.api.filters import parse_boolean_filter, parse_filters
from engine.api.http.json_bodies import read_json
from engine.api.http.operations import Operation, filters, integer, text
from engine.api.http.replies import Reply, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.domain.image.reference import parse_reference
from engine.errors import InvalidRequest, NotFound, Unsupported

_FILTERS: Final = frozenset({"capability", "enabled"})


class Plugin(TypedDict):
    """A plugin: there are none."""


class NoSuchPlugin(NotFound):
    """No plugin has that name, for there are none."""

    def __init__(self, name: str) -> None:
        super().__init__(f'plugin "{name}" not found')


def routes() -> tuple[Route, ...]:
    """Who answers what."""
    return (
        Route(
            "GET",
            "/plugins",
            list_none,
            Operation(
                summary="List plugins: there are none.",
                query=(filters(*_FILTERS),),
                answers={200: list[Plugin]},
            ),
        ),
        Route(
            "GET",
            "/plugins/privileges",
            install,
            Operation(
                summary="Tell what a plugin would need: not supported.",
                query=(text("remote", required=True),),
            ),
        ),
        Route(
            "POST",
            "/plugins/pull",
            install,
            Operation(
                summary="Install a plugin: not supported.", query=(text("remote", required=True),)
            ),
        ),
        Route(
            "POST",
            "/plugins/create",
            create,
            Operation(
                summary="Create a plugin: not supported.", query=(text("name", required=True),)
            ),
        ),
        Route(
            "GET",
            "/plugins/{name}/json",
            missing,
            Operation(summary="Inspect a plugin: there is none.", refusals=(404,)),
        ),
        Route(
            "POST",
            "/plugins/{name}/enable",
            enable,
            Operation(
                summary="Enable a plugin: there is none.",
                query=(integer("timeout", required=True),),
                refusals=(404,),
            ),
        ),
        Route(
            "POST",
            "/plugins/{name}/disable",
            missing,
            Operation(summary="Disable a plugin: there is none.", refusals=(404,)),
        ),
        Route(
            "POST",
            "/plugins/{name}/upgrade",
            missing,
            Operation(summary="Upgrade a plugin: there is none.", refusals=(404,)),
        ),
        Route(
            "POST",
            "/plugins/{name}/push",
            missing,
            Operation(summary="Push a plugin: there is none.", refusals=(404,)),
        ),
        Route(
            "POST",
            "/plugins/{name}/set",
            configure,
            Operation(
                summary="Configure a plugin: there is none.", body=list[Any], refusals=(404,)
            ),
        ),
        Route(
            "DELETE",
            "/plugins/{name}",
            missing,
            Operation(summary="Remove a plugin: there is none.", refusals=(404,)),
        ),
    )


async def list_none(request: Request) -> Reply:
    """``docker plugin ls``."""
    parse_boolean_filter(parse_filters(request.query.text("filters"), _FILTERS), "enabled")
    return json_answer([])


async def install(request: Request) -> Reply:
    """``docker plugin install``, which asks for the privileges first."""
    parse_reference(request.query.text("remote"))
    raise Unsupported("plugins are not supported")


async def create(request: Request) -> Reply:
    """``docker plugin create``."""
    name = request.query.text("name")
    try:
        parse_reference(name)
    except InvalidRequest as malformed:
        raise InvalidRequest(f"failed to parse reference {name}: {malformed}") from None
    raise Unsupported("plugins are not supported")


async def missing(request: Request) -> Reply:
    """Whatever is asked of one plugin."""
    raise NoSuchPlugin(request.params["name"])


async def enable(request: Request) -> Reply:
    """``docker plugin enable``."""
    if request.query.number("timeout") is None:
        raise InvalidRequest('strconv.Atoi: parsing "": invalid syntax')
    raise NoSuchPlugin(request.params["name"])


async def configure(request: Request) -> Reply:
    """``docker plugin set``."""
    await read_json(request, list[Any])  # Any: nobody reads it
    raise NoSuchPlugin(request.params["name"])
