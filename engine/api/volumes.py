"""Managed volumes: there are none yet, and everything is answered as truly as that allows."""

import re
from functools import partial
from typing import Any, Final, TypedDict

from engine.api.answers import Volume
from engine.api.filters import parse_boolean_filter, parse_filters
from engine.api.http.json_bodies import Json, Wire, read_json
from engine.api.http.operations import Operation, filters, flag
from engine.api.http.replies import NO_CONTENT, Reply, json_answer
from engine.api.http.requests import ApiVersion, Request
from engine.api.http.router import Route
from engine.errors import InvalidRequest, NotFound, Unavailable, Unsupported
from engine.service.prunes import Prunes

_LIST_FILTERS: Final = frozenset({"dangling", "driver", "label", "name"})
_PRUNE_FILTERS: Final = frozenset({"label", "label!"})
_PRUNE_ALL_SINCE: Final[ApiVersion] = (1, 42)
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


class VolumeList(TypedDict):
    """All volumes."""

    Volumes: list[Volume]
    Warnings: None


class VolumesPruned(TypedDict):
    """What a prune of volumes has removed."""

    VolumesDeleted: list[str]
    SpaceReclaimed: int


class NoSuchVolume(NotFound):
    """No volume has that name, for there are none."""

    def __init__(self, name: str) -> None:
        super().__init__(f"get {name}: no such volume")


class VolumeBody(Wire, frozen=True, kw_only=True):
    """VolumeCreateOptions, as far as it can be wrong."""

    name: str | None = None
    driver: str | None = None
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None


def routes(prunes: Prunes) -> tuple[Route, ...]:
    """Who answers what."""
    return (
        Route(
            "GET",
            "/volumes",
            list_none,
            Operation(
                summary="List volumes: there are none yet.",
                query=(filters(*_LIST_FILTERS),),
                answers={200: VolumeList},
            ),
        ),
        Route(
            "POST",
            "/volumes/create",
            create,
            Operation(summary="Create a volume: not supported yet.", body=VolumeBody),
        ),
        Route(
            "POST",
            "/volumes/prune",
            partial(prune, prunes),
            Operation(
                summary="Remove volumes that nobody uses: there are none.",
                query=(filters(*_PRUNE_FILTERS, "all"),),
                answers={200: VolumesPruned},
            ),
        ),
        Route(
            "GET",
            "/volumes/{name}",
            inspect,
            Operation(summary="Inspect a volume: there is none.", refusals=(404,)),
        ),
        Route(
            "PUT",
            "/volumes/{name}",
            update,
            Operation(summary="Change a volume of a swarm: there is none.", body=dict[str, Any]),
        ),
        Route(
            "DELETE",
            "/volumes/{name}",
            remove,
            Operation(
                summary="Remove a volume: there is none.",
                query=(flag("force", "What is not there counts as removed."),),
                answers={204: None},
                refusals=(404,),
            ),
        ),
    )


async def list_none(request: Request) -> Reply:
    """``docker volume ls``."""
    parse_boolean_filter(parse_filters(request.query.text("filters"), _LIST_FILTERS), "dangling")
    return json_answer({"Volumes": [], "Warnings": None})


async def inspect(request: Request) -> Reply:
    """``docker volume inspect``."""
    raise NoSuchVolume(request.params["name"])


async def create(request: Request) -> Reply:
    """``docker volume create``."""
    asked = await read_json(request, VolumeBody)
    if asked.name:
        _check_name(asked.name)
    raise Unsupported("volumes are not supported yet: mount a directory of the host instead")


def _check_name(name: str) -> None:
    if len(name) == 1:
        raise InvalidRequest(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only'
            ' "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


async def remove(request: Request) -> Reply:
    """``docker volume rm``; by force, what is not there is gone."""
    if request.query.flag("force"):
        return NO_CONTENT
    raise NoSuchVolume(request.params["name"])


async def update(request: Request) -> Reply:
    """``docker volume update``, which is for the volumes of swarms."""
    await read_json(request, dict[str, Any])  # Any: nobody reads it
    raise Unavailable("volume update only valid for cluster volumes, but swarm is unavailable")


async def prune(prunes: Prunes, request: Request) -> Reply:
    """``docker volume prune``."""
    known = _PRUNE_FILTERS
    if request.version >= _PRUNE_ALL_SINCE:
        known |= {"all"}
    parse_boolean_filter(parse_filters(request.query.text("filters"), known), "all")
    await prunes.record("volume", 0, request.origin)
    nothing: Json = {"VolumesDeleted": [], "SpaceReclaimed": 0}
    return json_answer(nothing)
