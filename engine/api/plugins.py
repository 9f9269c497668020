"""Plugins: this engine has none and takes none, and answers as any engine that has none."""

from typing import Any, Final

from engine.api.filters import parse_boolean_filter, parse_filters
from engine.api.http.json_bodies import read_json
from engine.api.http.replies import Reply, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.domain.reference import parse_reference
from engine.errors import InvalidRequest, NotFound, Unsupported

_FILTERS: Final = frozenset({"capability", "enabled"})


class NoSuchPlugin(NotFound):
    """No plugin has that name, for there are none."""

    def __init__(self, name: str) -> None:
        super().__init__(f'plugin "{name}" not found')


def routes() -> tuple[Route, ...]:
    """Who answers what."""
    return (
        ("GET", "/plugins", list_none),
        ("GET", "/plugins/privileges", install),
        ("POST", "/plugins/pull", install),
        ("POST", "/plugins/create", create),
        ("GET", "/plugins/{name}/json", missing),
        ("POST", "/plugins/{name}/enable", enable),
        ("POST", "/plugins/{name}/disable", missing),
        ("POST", "/plugins/{name}/upgrade", missing),
        ("POST", "/plugins/{name}/push", missing),
        ("POST", "/plugins/{name}/set", configure),
        ("DELETE", "/plugins/{name}", missing),
    )


async def list_none(request: Request) -> Reply:
    """``docker plugin ls``."""
    filters = parse_filters(request.query.text("filters"), _FILTERS)
    parse_boolean_filter(filters, "enabled")
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
