"""Handle list, create, inspect, rename, remove and prune of containers."""

from typing import Final, TypedDict

from engine.api.containers.answers import ContainerSummary
from engine.api.containers.context import context_now
from engine.api.containers.filters import CONTAINER_FILTERS, ContainerFilter
from engine.api.containers.inspect_answers import ContainerInspect
from engine.api.containers.inspections import Inspections
from engine.api.containers.show import inspect_json, summary_json
from engine.api.containers.sizes import sizes_of
from engine.api.containers.spec.body import CreateWire
from engine.api.containers.spec.create import spec_of
from engine.api.containers.spec.platform import check_platform
from engine.api.filters import parse_filters
from engine.api.http.json_bodies import Json, read_json
from engine.api.http.operations import Operation, filters, flag, integer, text
from engine.api.http.replies import NO_CONTENT, Reply, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.api.times import parse_until
from engine.domain.container.state import Container
from engine.errors import Conflict, InvalidRequest
from engine.service.engine import Service

_PRUNE_FILTERS: Final = frozenset({"until", "label", "label!"})


class ContainerCreated(TypedDict):
    """The new container, and warnings about what was ignored."""

    Id: str
    Warnings: list[str]


class ContainersPruned(TypedDict):
    """What a prune of containers has removed."""

    ContainersDeleted: list[str] | None
    SpaceReclaimed: int


class ContainerHandlers:
    """Handles the list of containers and single ones; their life is in ``lifecycle.py``."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._inspections = Inspections()

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "GET",
                "/containers/json",
                self.list,
                Operation(
                    summary="List containers.",
                    query=(
                        flag("all", "Those that don't run, too."),
                        integer("limit", "At most so many, the newest first."),
                        flag("size", "With what each holds on the disk."),
                        filters(*CONTAINER_FILTERS),
                    ),
                    answers={200: list[ContainerSummary]},
                    refusals=(404,),
                ),
            ),
            Route(
                "POST",
                "/containers/create",
                self.create,
                Operation(
                    summary="Create a container.",
                    query=(
                        text("name"),
                        text("platform", "OS[/ARCHITECTURE[/VARIANT]] of the image."),
                    ),
                    body=CreateWire,
                    answers={201: ContainerCreated},
                    refusals=(404, 409),
                ),
            ),
            Route(
                "POST",
                "/containers/prune",
                self.prune,
                Operation(
                    summary="Remove all containers that do not run.",
                    query=(filters(*_PRUNE_FILTERS),),
                    answers={200: ContainersPruned},
                ),
            ),
            Route(
                "GET",
                "/containers/{name}/json",
                self.inspect,
                Operation(
                    summary="Inspect a container.",
                    query=(flag("size", "With what it holds on the disk."),),
                    answers={200: ContainerInspect},
                    refusals=(404,),
                ),
            ),
            Route(
                "POST",
                "/containers/{name}/rename",
                self.rename,
                Operation(
                    summary="Rename a container.",
                    query=(text("name", "The new name.", required=True),),
                    answers={204: None},
                    refusals=(404, 409),
                ),
            ),
            Route(
                "DELETE",
                "/containers/{name}",
                self.remove,
                Operation(
                    summary="Remove a container.",
                    query=(
                        flag("force", "Kill it first."),
                        flag("v", "With its anonymous volumes."),
                        flag("link", "Remove a link: always refused."),
                    ),
                    answers={204: None},
                    refusals=(404, 409),
                ),
            ),
        )

    async def list(self, request: Request) -> Reply:
        """Handle ``docker ps``."""
        requested = ContainerFilter(request.query, self._service.images)
        context = context_now(self._service)
        containers = tuple(requested.chosen(self._service.containers.all()))
        sizes = await sizes_of(self._service, containers) if request.query.flag("size") else {}
        return json_answer(
            [summary_json(container, context, sizes.get(container.id)) for container in containers]
        )

    async def create(self, request: Request) -> Reply:
        """Handle ``docker create``."""
        asked = await read_json(request, CreateWire)
        if asked.image is None and asked.cmd is None and asked.host_config is None:
            raise InvalidRequest("config cannot be empty in order to create a container")
        if not asked.image:
            raise InvalidRequest("no image specified")
        image = self._service.images.get(asked.image)
        check_platform(request.query.text("platform"), image, asked.image)
        spec, notes = spec_of(asked, image, self._service.containers.get, request.version)
        name = request.query.text("name") or None
        identity, discarded = await self._service.containers.create(name, spec, request.origin)
        return json_answer({"Id": identity, "Warnings": (*notes, *discarded)}, 201)

    async def inspect(self, request: Request) -> Reply:
        """Handle ``docker inspect``."""
        container = self._service.containers.inspect(request.params["name"])
        execs = self._service.execs.of(container.id)
        context = context_now(self._service)
        if not request.query.flag("size"):
            return self._inspections.answer(container, context, execs)
        sizes = await sizes_of(self._service, (container,))
        return json_answer(inspect_json(container, context, execs, sizes[container.id]))

    async def rename(self, request: Request) -> Reply:
        """Handle ``docker rename``."""
        name = request.query.text("name")
        await self._service.containers.rename(request.params["name"], name, request.origin)
        return NO_CONTENT

    async def remove(self, request: Request) -> Reply:
        """Handle ``docker rm``."""
        query = request.query
        if query.flag("link"):
            self._service.containers.get(request.params["name"])
            raise Conflict("Conflict, cannot remove the default link name of the container")
        force, volumes = query.flag("force"), query.flag("v")
        reference = request.params["name"]
        await self._service.containers.remove(
            reference, request.origin, force=force, volumes=volumes
        )
        return NO_CONTENT

    async def prune(self, request: Request) -> Reply:
        """Handle ``docker container prune``."""
        requested = parse_filters(request.query.text("filters"), _PRUNE_FILTERS)
        now_ns = self._service.system.wall_ns()
        limits_ns = [parse_until(value, now_ns) for value in requested.values("until")]

        def is_meant(container: Container) -> bool:
            return requested.prunes(container.spec.labels) and all(
                container.created_ns <= limit_ns for limit_ns in limits_ns
            )

        pruned = await self._service.prunes.containers(is_meant, request.origin)
        answer: Json = {
            "ContainersDeleted": pruned.removed or None,
            "SpaceReclaimed": pruned.won_bytes,
        }
        return json_answer(answer)
