"""Handle ``POST /containers/{name}/update``: limits and restart policy."""

from collections.abc import Iterator
from typing import Final, TypedDict

from engine.api.containers.spec.body import UpdateWire
from engine.api.containers.spec.program import parse_restart_policy
from engine.api.containers.spec.resources import ignored_field_warnings, parse_resources
from engine.api.http.json_bodies import read_json
from engine.api.http.operations import Operation
from engine.api.http.replies import Reply, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.domain.container.resources import BlockLimits, Resources
from engine.service.engine import Service

_FIXED: Final = (
    ("block", "Block I/O limits of single devices"),
    ("cgroup_parent", "CgroupParent"),
    ("device_requests", "DeviceRequests"),
    ("device_rules", "DeviceCgroupRules"),
    ("devices", "Devices"),
    ("memory_swappiness", "MemorySwappiness"),
    ("oom_kill_disable", "OomKillDisable"),
)
"""Limits that can't be changed after create, as in Docker."""
_UNSET: Final = Resources(block=BlockLimits())


class Updated(TypedDict):
    """Warnings about what was ignored."""

    Warnings: list[str]


class UpdateHandlers:
    """Handles changes of limits and restart policies."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "POST",
                "/containers/{name}/update",
                self.update,
                Operation(
                    summary="Change limits and the restart policy of a container.",
                    body=UpdateWire,
                    answers={200: Updated},
                    refusals=(404, 409),
                ),
            ),
        )

    async def update(self, request: Request) -> Reply:
        """Handle ``docker update``."""
        asked = await read_json(request, UpdateWire)
        resources = parse_resources(asked)
        wire = asked.restart_policy
        policy = parse_restart_policy(wire) if wire is not None and wire.name else None
        discarded = await self._service.updates.update(
            request.params["name"], _changeable(resources), policy, request.origin
        )
        ulimits = ("Ulimits cannot be updated. Ulimits discarded.",) if asked.ulimits else ()
        warnings = (*ignored_field_warnings(asked), *_fixed(resources), *ulimits, *discarded)
        return json_answer({"Warnings": warnings})


def _changeable(asked: Resources) -> Resources:
    fields = {name: getattr(asked, name) for name in asked.__struct_fields__}
    return Resources(**fields | {name: getattr(_UNSET, name) for name, _ in _FIXED})


def _fixed(asked: Resources) -> Iterator[str]:
    for name, words in _FIXED:
        if getattr(asked, name) != getattr(_UNSET, name):
            yield f"{words} cannot be updated. {words} discarded."
