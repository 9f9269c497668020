"""Refuse what this engine does not have, malformed requests first, with Docker's messages."""

import re
from collections.abc import Callable
from typing import Any, Final

from engine.api.filters import decode_filters
from engine.api.http.json_bodies import Wire, read_json
from engine.api.http.operations import Operation, Parameter
from engine.api.http.replies import Reply
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.domain.image.reference import parse_reference
from engine.errors import EngineError, InvalidRequest, NotFound, Unavailable, Unsupported

Check = Callable[[Request, Any], None]
"""Raises InvalidRequest for a request, with its decoded body, that is malformed. Any: the body is
of the type that stands beside the check."""
Refusal = Callable[[Request], EngineError]
"""The error that answers a request which is not malformed."""

_VOLUME_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


class NoSuchVolume(NotFound):
    """No volume has that name, for there are none."""


class NoSuchPlugin(NotFound):
    """No plugin has that name, for there are none."""


class NotInASwarm(Unavailable):
    """What only a swarm has was asked of an engine that is in none."""


class VolumeBody(Wire, frozen=True, kw_only=True):
    """VolumeCreateOptions, as far as it can be wrong."""

    name: str | None = None
    driver: str | None = None
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None


def unchecked(_request: Request, _body: Any) -> None:
    """Accept every request that has a body of the right type."""


def refused(
    method: str,
    path: str,
    summary: str,
    refusal: Refusal,
    check: Check = unchecked,
    *,
    query: tuple[Parameter, ...] = (),
    body: Any = None,  # Any: a type
    statuses: tuple[int, ...] = (),
) -> Route:
    """Make a route that is refused after the request's body and the rest of it are checked."""

    async def refuse(request: Request) -> Reply:
        check(request, await read_json(request, body) if body is not None else None)
        raise refusal(request)

    operation = Operation(summary=summary, query=query, body=body, refusals=statuses)
    return Route(method, path, refuse, operation)


# --- Why ---


def unsupported(message: str) -> Refusal:
    """Refuse for good, or until this engine can do it."""
    return lambda _request: Unsupported(message)


def no_such_volume(request: Request) -> EngineError:
    """Refuse what names a volume."""
    return NoSuchVolume(f"get {request.params['name']}: no such volume")


def no_such_plugin(request: Request) -> EngineError:
    """Refuse what names a plugin."""
    return NoSuchPlugin(f'plugin "{request.params["name"]}" not found')


def no_cluster_volumes(_request: Request) -> EngineError:
    """Refuse ``docker volume update``, which is for the volumes of swarms."""
    return Unavailable("volume update only valid for cluster volumes, but swarm is unavailable")


def not_in_a_swarm(_request: Request) -> EngineError:
    """Refuse ``docker swarm leave``."""
    return NotInASwarm("This node is not part of a swarm")


def not_a_manager(_request: Request) -> EngineError:
    """Refuse what a swarm's manager would know or do."""
    return NotInASwarm(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to'
        " swarm and try again."
    )


# --- Checks ---


def check_volume_name(_request: Request, asked: VolumeBody) -> None:
    """Refuse a name that the local driver would refuse; no name is fine."""
    name = asked.name or "any"
    if len(name) == 1:
        raise InvalidRequest(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not _VOLUME_NAME.fullmatch(name):
        raise InvalidRequest(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only'
            ' "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )


def check_plugin_reference(request: Request, _body: None) -> None:
    """Refuse a malformed reference of a plugin to install."""
    parse_reference(request.query.text("remote"))


def check_new_plugin(request: Request, _body: None) -> None:
    """Refuse a malformed name for a plugin to create."""
    name = request.query.text("name")
    try:
        parse_reference(name)
    except InvalidRequest as malformed:
        raise InvalidRequest(f"failed to parse reference {name}: {malformed}") from None


def check_timeout(request: Request, _body: None) -> None:
    """Refuse to enable a plugin without a timeout."""
    if request.query.number("timeout") is None:
        raise InvalidRequest('strconv.Atoi: parsing "": invalid syntax')


def check_filters(request: Request, _body: Any) -> None:
    """Refuse filters that are not a map, whatever their names are."""
    decode_filters(request.query.text("filters"))


def check_streams(request: Request, _body: None) -> None:
    """Refuse to read logs of neither stream."""
    if not (request.query.flag("stdout") or request.query.flag("stderr")):
        raise InvalidRequest("Bad parameters: you must choose at least one stream")


def check_version(noun: str) -> Check:
    """Refuse a version that is no unsigned number of 64 bits."""

    def check(request: Request, _body: Any) -> None:
        text = request.query.text("version")
        is_number = text.isascii() and text.isdigit()
        if is_number and int(text[:21]) < 1 << 64:
            return
        reason = "value out of range" if is_number else "invalid syntax"
        raise InvalidRequest(
            f"invalid {noun} version '{text}': strconv.ParseUint: parsing \"{text}\": {reason}"
        )

    return check


def check_upgrade(request: Request, _body: None) -> None:
    """Refuse a session of BuildKit that does not ask to leave HTTP."""
    if not request.wants_upgrade:
        raise InvalidRequest("no upgrade proto in request")


def check_image_reference(request: Request, _body: None) -> None:
    """Refuse a malformed name of an image at a registry."""
    parse_reference(request.params["name"])
