"""Parts of Docker's API that this engine does not have yet, or will never have: each says so, none is merely absent."""

from typing import Final

from engine.api.replies import Reply, json_answer
from engine.api.requests import Request
from engine.api.router import Route
from engine.api.status import error_answer
from engine.errors import Unsupported

_NOT_YET: Final = (
    ("POST", "/build", "building images"),
    ("POST", "/build/prune", "building images"),
    ("POST", "/session", "building images"),
    ("POST", "/grpc", "building images"),
    ("POST", "/commit", "committing containers"),
    ("GET", "/containers/{name}/attach/ws", "attaching by WebSocket"),
    ("POST", "/containers/{name}/update", "updating containers"),
    ("GET", "/distribution/{name}/json", "asking registries"),
    ("GET", "/images/search", "searching registries"),
    ("GET", "/images/get", "saving images"),
    ("GET", "/images/{name}/get", "saving images"),
    ("POST", "/images/{name}/push", "pushing images"),
    ("POST", "/networks/create", "creating networks"),
    ("POST", "/networks/prune", "removing networks"),
    ("POST", "/networks/{id}/connect", "connecting networks"),
    ("POST", "/networks/{id}/disconnect", "disconnecting networks"),
    ("DELETE", "/networks/{id}", "removing networks"),
    ("POST", "/volumes/create", "creating volumes"),
    ("POST", "/volumes/prune", "removing volumes"),
)
_NO_SWARM: Final = 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.'
_OF_SWARMS: Final = ("/swarm", "/services", "/tasks", "/nodes", "/secrets", "/configs")


def routes() -> tuple[Route, ...]:
    """Who answers that there is nothing."""
    return (
        *(_not_yet(method, path, what) for method, path, what in _NOT_YET),
        *(("GET", path, no_swarm) for path in _OF_SWARMS),
        ("GET", "/plugins", nothing),
        ("GET", "/volumes", no_volumes),
        ("GET", "/volumes/{name}", no_volume),
        ("DELETE", "/volumes/{name}", no_volume),
    )


def _not_yet(method: str, path: str, what: str) -> Route:
    async def refuse(_request: Request) -> Reply:
        raise Unsupported(f"{what} is not supported yet")

    return method, path, refuse


async def no_swarm(_request: Request) -> Reply:
    """We are no part of a swarm, as most engines."""
    return error_answer(503, _NO_SWARM)


async def nothing(_request: Request) -> Reply:
    """There are none."""
    return json_answer([])


async def no_volumes(_request: Request) -> Reply:
    """There are none."""
    return json_answer({"Volumes": [], "Warnings": None})


async def no_volume(request: Request) -> Reply:
    """There is none of that name."""
    return error_answer(404, f"get {request.params['name']}: no such volume")
