"""Handle ``docker system df``."""

from typing import Final

from engine.api.containers.context import context_now
from engine.api.containers.show import summary_json
from engine.api.containers.sizes import sizes_of
from engine.api.http.json_bodies import Json
from engine.api.http.operations import Operation, texts
from engine.api.http.replies import Reply, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.api.images.show import image_summary_json
from engine.api.system.answers import DiskUsage
from engine.errors import InvalidRequest
from engine.service.engine import Service

_KINDS: Final = ("container", "image", "volume", "build-cache")


class DiskUsageHandlers:
    """Handles ``docker system df``; each kind is measured only if it is asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "GET",
                "/system/df",
                self.disk_usage,
                Operation(
                    summary="Tell what lies on the disk.",
                    query=(
                        texts("type", "container, image, volume or build-cache; all if absent."),
                    ),
                    answers={200: DiskUsage},
                ),
            ),
        )

    async def disk_usage(self, request: Request) -> Reply:
        """Handle ``docker system df``: a kind that was not asked for is null."""
        kinds = request.query.texts("type") or _KINDS
        for kind in kinds:
            if kind not in _KINDS:
                raise InvalidRequest(f"unknown object type: {kind}")
        images = await self._images(request) if "image" in kinds else {"Images": None}
        containers = await self._containers() if "container" in kinds else None
        return json_answer(
            {
                "LayersSize": 0,
                **images,
                "Containers": containers,
                "Volumes": [] if "volume" in kinds else None,
                "BuildCache": [] if "build-cache" in kinds else None,
            }
        )

    async def _images(self, request: Request) -> Json:
        images = self._service.images
        shared, counts = images.shared_bytes(), images.use_counts()
        shown = [
            image_summary_json(
                image,
                request.version,
                containers=counts[image.id],
                shared_bytes=shared.get(image.id, 0),
            )
            for image in images.all()
        ]
        return {"LayersSize": (await images.usage()).layers_bytes, "Images": shown}

    async def _containers(self) -> list[Json]:
        containers = self._service.containers.all()
        sizes = await sizes_of(self._service, containers)
        context = context_now(self._service)
        return [summary_json(each, context, sizes.get(each.id)) for each in containers]
