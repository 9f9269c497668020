"""Handle list, inspect, history, import, load, tag, remove and prune of images."""

from collections.abc import AsyncIterator
from typing import Final

from engine.api.filters import parse_boolean_filter, parse_filters
from engine.api.http.archives import OCTETS, TAR, streamed
from engine.api.http.operations import Bytes, Lines, Operation, filters, flag, integer, text, texts
from engine.api.http.replies import JSON, Answer, Reply, json_answer, json_line
from engine.api.http.requests import ApiVersion, Body, Request
from engine.api.http.router import Route
from engine.api.images.answers import (
    ImageInspect,
    ImageRemoved,
    ImagesPruned,
    ImageStep,
    ImageSummary,
    Progress,
)
from engine.api.images.filters import LIST_FILTERS, PRUNE_FILTERS, listed, prunable
from engine.api.images.platforms import check_platform, check_platform_for_import
from engine.api.images.show import (
    image_history_json,
    image_inspect_json,
    image_summary_json,
    removed_json,
)
from engine.domain.image.reference import Reference, parse_reference, parse_repository
from engine.domain.image.state import Image
from engine.errors import InvalidRequest, NotFound, Unsupported
from engine.service.engine import Service

_COUNTED_SINCE: Final[ApiVersion] = (1, 51)
"""In older versions the list did not say how many containers use an image."""
_SEARCH_RESULTS: Final = range(1, 101)


_PLATFORMS: Final = (
    texts("platform", "A JSON object: os and architecture that it must be for."),
    texts("platforms", "The same."),
)


class NotPushable(NotFound):
    """No image has the name that is to be pushed."""

    def __init__(self, reference: Reference) -> None:
        super().__init__(f"An image does not exist locally with the tag: {reference.familiar_name}")


class ImageHandlers:
    """Handles images."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._images = service.images

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "GET",
                "/images/json",
                self.list,
                Operation(
                    summary="List images.",
                    query=(
                        flag("shared-size", "With what each shares with others."),
                        flag("all", "Without effect: there are no intermediate images."),
                        flag("digests", "Without effect: they are always included."),
                        filters(*LIST_FILTERS),
                    ),
                    answers={200: list[ImageSummary]},
                    refusals=(404,),
                ),
            ),
            Route(
                "GET",
                "/images/search",
                self.search,
                Operation(
                    summary="Search a registry: not supported yet.",
                    query=(
                        text("term"),
                        integer("limit"),
                        filters("is-official", "stars"),
                    ),
                ),
            ),
            Route(
                "POST",
                "/images/create",
                self.create,
                Operation(
                    summary="Import an image from a tar archive; pulling is not supported yet.",
                    query=(
                        text("fromSrc", "-: the archive is the body."),
                        text("fromImage", "Always refused."),
                        text("repo"),
                        text("tag"),
                        text("message"),
                        texts("changes", "Instructions of a Dockerfile."),
                        text("platform"),
                    ),
                    body=Bytes((OCTETS, TAR)),
                    answers={200: Lines(Progress)},
                    refusals=(404, 409),
                ),
            ),
            Route(
                "POST",
                "/images/load",
                self.load,
                Operation(
                    summary="Load images from a tar archive.",
                    query=(
                        texts("platform", "Always refused."),
                        flag("quiet", "Without effect: only what was loaded is reported."),
                    ),
                    body=Bytes((TAR, OCTETS)),
                    answers={200: Lines(Progress)},
                ),
            ),
            Route(
                "POST",
                "/images/prune",
                self.prune,
                Operation(
                    summary="Remove images that no container uses.",
                    query=(filters(*PRUNE_FILTERS),),
                    answers={200: ImagesPruned},
                ),
            ),
            Route(
                "GET",
                "/images/get",
                self.save_several,
                Operation(
                    summary="Save images as a tar archive.",
                    query=(
                        texts("names"),
                        *_PLATFORMS,
                    ),
                    answers={200: Bytes((TAR,))},
                    refusals=(404,),
                ),
            ),
            Route(
                "GET",
                "/images/{name}/get",
                self.save,
                Operation(
                    summary="Save an image as a tar archive.",
                    query=_PLATFORMS,
                    answers={200: Bytes((TAR,))},
                    refusals=(404,),
                ),
            ),
            Route(
                "GET",
                "/images/{name}/json",
                self.inspect,
                Operation(
                    summary="Inspect an image.",
                    query=_PLATFORMS,
                    answers={200: ImageInspect},
                    refusals=(404,),
                ),
            ),
            Route(
                "GET",
                "/images/{name}/history",
                self.history,
                Operation(
                    summary="List the steps by which an image was built.",
                    query=_PLATFORMS,
                    answers={200: list[ImageStep]},
                    refusals=(404,),
                ),
            ),
            Route(
                "POST",
                "/images/{name}/tag",
                self.tag,
                Operation(
                    summary="Give an image one more name.",
                    query=(
                        text("repo"),
                        text("tag"),
                    ),
                    answers={201: None},
                    refusals=(404, 409),
                ),
            ),
            Route(
                "POST",
                "/images/{name}/push",
                self.push,
                Operation(
                    summary="Push an image to a registry: not supported yet.",
                    query=(text("tag"),),
                    refusals=(404,),
                ),
            ),
            Route(
                "DELETE",
                "/images/{name}",
                self.remove,
                Operation(
                    summary="Remove a name of an image, and the image with its last one.",
                    query=(
                        flag("force", "Also when containers that have ended use it."),
                        flag("noprune", "Without effect: no image has another for a parent."),
                        *_PLATFORMS,
                    ),
                    answers={200: list[ImageRemoved]},
                    refusals=(404, 409),
                ),
            ),
        )

    async def list(self, request: Request) -> Reply:
        """Handle ``docker images``. There are no intermediate images, so ``all`` shows no more."""
        requested = parse_filters(request.query.text("filters"), LIST_FILTERS)
        counts = self._images.use_counts() if request.version >= _COUNTED_SINCE else None
        shared = self._images.shared_bytes() if request.query.flag("shared-size") else {}
        return json_answer(
            [
                image_summary_json(
                    image,
                    request.version,
                    containers=-1 if counts is None else counts[image.id],
                    shared_bytes=shared.get(image.id, -1),
                )
                for image in listed(self._service, requested)
            ]
        )

    async def inspect(self, request: Request) -> Reply:
        """Handle ``docker image inspect``."""
        image = self._images.get(request.params["name"])
        check_platform(request, image)
        data_root = self._service.system.settings.data_root
        return json_answer(image_inspect_json(image, request.version, data_root))

    async def history(self, request: Request) -> Reply:
        """Handle ``docker image history``."""
        image = self._images.get(request.params["name"])
        check_platform(request, image)
        return json_answer(image_history_json(image))

    async def create(self, request: Request) -> Reply:
        """Handle ``docker import``; pulling is not there yet."""
        query = request.query
        source = query.text("fromSrc")
        if requested := query.text("fromImage"):
            _refuse_to_pull(requested, query.text("tag"))
        if not source:
            raise InvalidRequest("neither fromImage nor fromSrc says what to create an image from")
        if source != "-":
            raise Unsupported(
                "importing from a URL is not supported yet: send the archive along, with fromSrc=-"
            )
        check_platform_for_import(query.text("platform"))
        image = await self._images.import_tar(
            _chunks(request.body),
            request.origin,
            repository=query.text("repo"),
            tag=query.text("tag"),
            changes=query.texts("changes"),
            comment=query.text("message"),
            source=source,
        )
        return Answer(200, json_line({"status": image.id}), JSON)

    async def load(self, request: Request) -> Reply:
        """Handle ``docker load``."""
        if any(request.query.texts("platform")):
            raise Unsupported("loading a platform of several is not supported yet")
        loaded = await self._images.load(_chunks(request.body), request.origin)
        lines = [line for image, references in loaded for line in _loaded_lines(image, references)]
        return Answer(200, b"".join(json_line({"stream": line}) for line in lines), JSON)

    async def save(self, request: Request) -> Reply:
        """Handle ``docker save`` of one image, or of all tags of a repository."""
        return await self._save(request, (request.params["name"],))

    async def save_several(self, request: Request) -> Reply:
        """Handle ``docker save``."""
        return await self._save(request, request.query.texts("names"))

    async def _save(self, request: Request, names: tuple[str, ...]) -> Reply:
        for name in names if any(request.query.texts("platform")) else ():
            check_platform(request, self._images.get(name))
        saved = await self._images.save(names, request.origin)
        return streamed(saved, TAR)

    async def tag(self, request: Request) -> Reply:
        """Handle ``docker tag``."""
        query = request.query
        repository, tag = query.text("repo"), query.text("tag")
        await self._images.tag(
            request.params["name"], request.origin, repository=repository, tag=tag
        )
        return Answer(201)

    async def push(self, request: Request) -> Reply:
        """Handle ``docker push``: not there yet, but what could not be pushed anyway is named."""
        name, tag = request.params["name"], request.query.text("tag")
        if tag:
            requested = parse_repository(name, tag)
            found = self._images.has_reference(str(requested))
        else:
            requested = parse_reference(name)
            found = self._images.has_repository(requested.name)
        if not found:
            raise NotPushable(requested)
        raise Unsupported("pushing images is not supported yet")

    async def search(self, request: Request) -> Reply:
        """Handle ``docker search``."""
        limit = request.query.integer("limit")
        if limit and limit not in _SEARCH_RESULTS:
            raise InvalidRequest(f"Limit {limit} is outside the range of [1, 100]")
        raise Unsupported("searching registries is not supported yet")

    async def remove(self, request: Request) -> Reply:
        """Handle ``docker rmi``. No image has another for a parent, so ``noprune`` keeps none."""
        name, force = request.params["name"], request.query.flag("force")
        check_platform(request, self._images.get(name))
        removal = await self._images.remove(name, request.origin, force=force)
        return json_answer(removed_json(removal))

    async def prune(self, request: Request) -> Reply:
        """Handle ``docker image prune``."""
        requested = parse_filters(request.query.text("filters"), PRUNE_FILTERS)
        pruned = await self._service.prunes.images(
            prunable(self._service, requested),
            request.origin,
            named_too=parse_boolean_filter(requested, "dangling") is False,
        )
        removed = [line for removal in pruned.removals for line in removed_json(removal)]
        return json_answer({"ImagesDeleted": removed or None, "SpaceReclaimed": pruned.won_bytes})


def _refuse_to_pull(name: str, tag: str) -> None:
    """Refuse a pull; a malformed name is refused as such."""
    if ":" in tag:  # a digest, which docker run gives as the tag
        parse_reference(f"{name}@{tag}")
    elif tag:
        parse_repository(name, tag)
    else:
        parse_reference(name)
    raise Unsupported(
        f"pulling images is not supported yet: use import or load to bring {name} here"
    )


async def _chunks(body: Body) -> AsyncIterator[bytes]:
    while chunk := await body.next_chunk():
        yield chunk


def _loaded_lines(image: Image, references: tuple[str, ...]) -> tuple[str, ...]:
    if not references:
        return (f"Loaded image ID: {image.id}\n",)
    return tuple(
        f"Loaded image: {parse_reference(reference).familiar}\n" for reference in references
    )
