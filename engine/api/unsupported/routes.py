"""List the routes that are refused, or answered as by an engine that has none of a kind."""

from functools import partial
from typing import Any, Final

from engine.api.filters import decode_filters, parse_boolean_filter, parse_filters
from engine.api.http.json_bodies import Json
from engine.api.http.operations import Operation, filters, flag, integer, text
from engine.api.http.replies import NO_CONTENT, Answer, Reply, json_answer
from engine.api.http.requests import ApiVersion, Request
from engine.api.http.router import Route
from engine.api.unsupported.answers import BuildsPruned, Plugin, VolumeList, VolumesPruned
from engine.api.unsupported.refusals import (
    VolumeBody,
    check_filters,
    check_image_reference,
    check_new_plugin,
    check_plugin_reference,
    check_streams,
    check_timeout,
    check_upgrade,
    check_version,
    check_volume_name,
    no_cluster_volumes,
    no_such_plugin,
    no_such_volume,
    not_a_manager,
    not_in_a_swarm,
    refused,
    unsupported,
)
from engine.errors import InvalidRequest
from engine.service.prunes import Prunes

_VOLUME_FILTERS: Final = frozenset({"dangling", "driver", "label", "name"})
_VOLUME_PRUNE_FILTERS: Final = frozenset({"label", "label!"})
_PRUNE_ALL_SINCE: Final[ApiVersion] = (1, 42)
_PLUGIN_FILTERS: Final = frozenset({"capability", "enabled"})
_IGNORED_FILTERS: Final = (text("filters", "Read, and without effect."),)
_SWARM_KINDS: Final = ("services", "tasks", "nodes", "secrets", "configs")
_NO_PLUGINS: Final = unsupported("plugins are not supported")
_NO_SWARM: Final = unsupported("swarm mode is not supported")
_NO_BUILDS: Final = unsupported("building images is not supported yet")
_NO_VOLUMES: Final = unsupported(
    "volumes are not supported yet: mount a directory of the host instead"
)


def routes(prunes: Prunes) -> tuple[Route, ...]:
    """Return all these routes."""
    return (*_volumes(prunes), *_plugins(), *_swarm(), *_builds(prunes))


# fmt: off
def _volumes(prunes: Prunes) -> tuple[Route, ...]:
    return (
        Route("GET", "/volumes", list_volumes, Operation(
            summary="List volumes: there are none yet.",
            query=(filters(*_VOLUME_FILTERS),), answers={200: VolumeList})),
        refused("POST", "/volumes/create", "Create a volume: not supported yet.",
            _NO_VOLUMES, check_volume_name, body=VolumeBody),
        Route("POST", "/volumes/prune", partial(prune_volumes, prunes), Operation(
            summary="Remove volumes that nobody uses: there are none.",
            query=(filters(*_VOLUME_PRUNE_FILTERS, "all"),), answers={200: VolumesPruned})),
        refused("GET", "/volumes/{name}", "Inspect a volume: there is none.",
            no_such_volume, statuses=(404,)),
        refused("PUT", "/volumes/{name}", "Change a volume of a swarm: there is none.",
            no_cluster_volumes, body=dict[str, Any]),
        Route("DELETE", "/volumes/{name}", remove_volume, Operation(
            summary="Remove a volume: there is none.",
            query=(flag("force", "What is not there counts as removed."),),
            answers={204: None}, refusals=(404,))),
    )


def _plugins() -> tuple[Route, ...]:
    remote = (text("remote", required=True),)
    return (
        Route("GET", "/plugins", list_plugins, Operation(
            summary="List plugins: there are none.",
            query=(filters(*_PLUGIN_FILTERS),), answers={200: list[Plugin]})),
        refused("GET", "/plugins/privileges", "Show what a plugin would need: not supported.",
            _NO_PLUGINS, check_plugin_reference, query=remote),
        refused("POST", "/plugins/pull", "Install a plugin: not supported.",
            _NO_PLUGINS, check_plugin_reference, query=remote),
        refused("POST", "/plugins/create", "Create a plugin: not supported.",
            _NO_PLUGINS, check_new_plugin, query=(text("name", required=True),)),
        refused("GET", "/plugins/{name}/json", "Inspect a plugin: there is none.",
            no_such_plugin, statuses=(404,)),
        refused("POST", "/plugins/{name}/enable", "Enable a plugin: there is none.",
            no_such_plugin, check_timeout, query=(integer("timeout", required=True),), statuses=(404,)),
        refused("POST", "/plugins/{name}/disable", "Disable a plugin: there is none.",
            no_such_plugin, statuses=(404,)),
        refused("POST", "/plugins/{name}/upgrade", "Upgrade a plugin: there is none.",
            no_such_plugin, statuses=(404,)),
        refused("POST", "/plugins/{name}/push", "Push a plugin: there is none.",
            no_such_plugin, statuses=(404,)),
        refused("POST", "/plugins/{name}/set", "Configure a plugin: there is none.",
            no_such_plugin, body=list[Any], statuses=(404,)),
        refused("DELETE", "/plugins/{name}", "Remove a plugin: there is none.",
            no_such_plugin, statuses=(404,)),
    )


def _swarm() -> tuple[Route, ...]:
    """Return the swarm's routes. Logs come first: an ID may have slashes, as any name."""
    streams = (flag("stdout"), flag("stderr"))
    return (
        refused("GET", "/services/{id}/logs", "Read what a service of a swarm has written: there is none.",
            not_a_manager, check_streams, query=streams),
        refused("GET", "/tasks/{id}/logs", "Read what a task of a swarm has written: there is none.",
            not_a_manager, check_streams, query=streams),
        _for_manager("GET", "/swarm"),
        _for_manager("GET", "/swarm/unlockkey"),
        _for_manager("POST", "/swarm/unlock"),
        _for_manager("POST", "/services/create"),
        _for_manager("POST", "/secrets/create"),
        _for_manager("POST", "/configs/create"),
        *(_for_manager("GET", f"/{kind}") for kind in _SWARM_KINDS),
        *(_for_manager("GET", f"/{kind}/{{id}}") for kind in _SWARM_KINDS),
        *(_for_manager("DELETE", f"/{kind}/{{id}}") for kind in _SWARM_KINDS if kind != "tasks"),
        _swarm_update("/swarm/update", "swarm"),
        _swarm_update("/services/{id}/update", "service"),
        _swarm_update("/nodes/{id}/update", "node"),
        _swarm_update("/secrets/{id}/update", "secret"),
        _swarm_update("/configs/{id}/update", "config"),
        refused("POST", "/swarm/init", "Begin a swarm: not supported.", _NO_SWARM, body=Json),
        refused("POST", "/swarm/join", "Join a swarm: not supported.", _NO_SWARM, body=Json),
        refused("POST", "/swarm/leave", "Leave the swarm: there is none.", not_in_a_swarm),
    )


def _builds(prunes: Prunes) -> tuple[Route, ...]:
    return (
        refused("POST", "/build", "Refused: building images is not supported yet.", _NO_BUILDS),
        Route("POST", "/build/cancel", cancel_build, Operation(
            summary="Cancel a build: there is none.",
            query=(text("id", required=True),), answers={200: None})),
        Route("POST", "/build/prune", partial(prune_builds, prunes), Operation(
            summary="Remove what builds have left: there is nothing.",
            query=_IGNORED_FILTERS, answers={200: BuildsPruned})),
        refused("POST", "/session", "Begin a session with a builder: not supported yet.",
            _NO_BUILDS, check_upgrade),
        refused("POST", "/grpc", "Speak gRPC with a builder: not supported yet.",
            _NO_BUILDS, check_upgrade),
        refused("GET", "/distribution/{name}/json", "Ask a registry about an image: not supported yet.",
            unsupported("asking registries is not supported yet"), check_image_reference),
    )
# fmt: on


def _for_manager(method: str, path: str) -> Route:
    summary, body = "Refused: this engine is in no swarm.", Json if method == "POST" else None
    return refused(
        method, path, summary, not_a_manager, check_filters, query=_IGNORED_FILTERS, body=body
    )


def _swarm_update(path: str, noun: str) -> Route:
    summary, version = (
        f"Change a {noun} of a swarm: there is none.",
        integer("version", required=True),
    )
    return refused(
        "POST", path, summary, not_a_manager, check_version(noun), query=(version,), body=Json
    )


# --- Where nothing is an answer ---


async def list_volumes(request: Request) -> Reply:
    """Handle ``docker volume ls``."""
    asked = parse_filters(request.query.text("filters"), _VOLUME_FILTERS)
    parse_boolean_filter(asked, "dangling")
    return json_answer({"Volumes": [], "Warnings": None})


async def remove_volume(request: Request) -> Reply:
    """Handle ``docker volume rm``; with ``--force`` a missing volume counts as removed."""
    if request.query.flag("force"):
        return NO_CONTENT
    raise no_such_volume(request)


async def prune_volumes(prunes: Prunes, request: Request) -> Reply:
    """Handle ``docker volume prune``."""
    known = _VOLUME_PRUNE_FILTERS
    if request.version >= _PRUNE_ALL_SINCE:
        known |= {"all"}
    parse_boolean_filter(parse_filters(request.query.text("filters"), known), "all")
    await prunes.record("volume", 0, request.origin)
    return json_answer({"VolumesDeleted": [], "SpaceReclaimed": 0})


async def list_plugins(request: Request) -> Reply:
    """Handle ``docker plugin ls``."""
    asked = parse_filters(request.query.text("filters"), _PLUGIN_FILTERS)
    parse_boolean_filter(asked, "enabled")
    return json_answer([])


async def cancel_build(request: Request) -> Reply:
    """Cancel a build: whatever is named, it is not being built."""
    if not request.query.text("id"):
        raise InvalidRequest("build ID not provided")
    return Answer(200)


async def prune_builds(prunes: Prunes, request: Request) -> Reply:
    """Handle ``docker builder prune``, and a part of ``docker system prune``."""
    decode_filters(request.query.text("filters"))
    await prunes.record("builder", 0, request.origin)
    return json_answer({"CachesDeleted": None, "SpaceReclaimed": 0})
