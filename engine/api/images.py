"""Images: list, inspect, history, import, load, tag, remove, prune."""

from collections.abc import AsyncIterator, Collection, Iterator
from fnmatch import fnmatchcase
from typing import Final

from msgspec.structs import replace

from engine.api.filters import Filters, parse_filters
from engine.api.json_bodies import Json
from engine.api.replies import JSON, Answer, Reply, json_answer, json_line
from engine.api.requests import Body, Request
from engine.api.router import Route
from engine.api.shapes_image import (
    created_s,
    image_history_json,
    image_inspect_json,
    image_summary_json,
    removed_json,
    repo_tags,
)
from engine.api.times import SECOND_NS, parse_until
from engine.domain.image import Image
from engine.domain.reference import parse_reference
from engine.errors import EngineError, InvalidRequest, Unsupported
from engine.service.engine import Service

_LIST_FILTERS: Final = frozenset({"dangling", "label", "before", "since", "reference", "until"})
_PRUNE_FILTERS: Final = frozenset({"dangling", "label", "label!", "until"})


class ImageHandlers:
    """What containers are made from."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._images = service.images

    def routes(self) -> tuple[Route, ...]:
        """Who answers what."""
        return (
            ("GET", "/images/json", self.list),
            ("POST", "/images/create", self.create),
            ("POST", "/images/load", self.load),
            ("POST", "/images/prune", self.prune),
            ("GET", "/images/{name}/json", self.inspect),
            ("GET", "/images/{name}/history", self.history),
            ("POST", "/images/{name}/tag", self.tag),
            ("DELETE", "/images/{name}", self.remove),
        )

    async def list(self, request: Request) -> Reply:
        """``docker images``."""
        filters = parse_filters(request.query.text("filters"), _LIST_FILTERS)
        shown = self._chosen(filters)
        return json_answer([image_summary_json(image, request.version) for image in shown])

    def _chosen(self, filters: Filters) -> Iterator[Image]:
        now_ns = self._service.ledger.clock.wall_ns()
        limits = [parse_until(value, now_ns) // SECOND_NS for value in filters.values("until")]
        before = [
            created_s(self._images.get(word).contents.created) for word in filters.values("before")
        ]
        since = [
            created_s(self._images.get(word).contents.created) for word in filters.values("since")
        ]
        for image in self._images.all():
            made_s = created_s(image.contents.created)
            if (
                filters.any_of("dangling", lambda value: _flag(value) is not bool(image.references))  # noqa: B023  (called here)
                and filters.labels(image.contents.config.labels)
                and not (
                    filters.values("label!")
                    and filters.labels(image.contents.config.labels, "label!")
                )
                and filters.any_of("reference", lambda value: _refers(image, value))  # noqa: B023  (called here)
                and all(made_s < limit for limit in (*limits, *before))
                and all(made_s > limit for limit in since)
            ):
                yield _as_asked(image, filters.values("reference"))

    async def inspect(self, request: Request) -> Reply:
        """``docker image inspect``."""
        image = self._images.get(request.params["name"])
        data_root = self._service.system.settings.data_root
        return json_answer(image_inspect_json(image, request.version, data_root))

    async def history(self, request: Request) -> Reply:
        """``docker image history``."""
        return json_answer(image_history_json(self._images.get(request.params["name"])))

    async def create(self, request: Request) -> Reply:
        """``docker import``; pulling is not there yet."""
        query = request.query
        source = query.text("fromSrc")
        if query.text("fromImage"):
            raise Unsupported(
                f"pulling images is not supported yet: use import or load to bring {query.text('fromImage')} here"
            )
        if source != "-":
            raise Unsupported(
                "importing from a URL is not supported yet: send the archive along, with fromSrc=-"
            )
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
        """``docker load``."""
        loaded = await self._images.load(_chunks(request.body), request.origin)
        lines = [line for image, references in loaded for line in _loaded_lines(image, references)]
        return Answer(200, b"".join(json_line({"stream": line}) for line in lines), JSON)

    async def tag(self, request: Request) -> Reply:
        """``docker tag``."""
        query = request.query
        repository, tag = query.text("repo"), query.text("tag")
        await self._images.tag(
            request.params["name"], request.origin, repository=repository, tag=tag
        )
        return Answer(201)

    async def remove(self, request: Request) -> Reply:
        """``docker rmi``."""
        force = request.query.flag("force")
        removal = await self._images.remove(request.params["name"], request.origin, force=force)
        return json_answer(removed_json(removal.untagged, removal.deleted))

    async def prune(self, request: Request) -> Reply:
        """``docker image prune``: those without a name, or with ``dangling=false`` all that no container uses."""
        filters = parse_filters(request.query.text("filters"), _PRUNE_FILTERS)
        named_too = any(not _flag(value) for value in filters.values("dangling"))
        chosen = self._chosen(
            Filters({name: filters.values(name) for name in _PRUNE_FILTERS - {"dangling"}})
        )
        before = await self._images.usage()
        removed: list[Json] = []
        for image in chosen:
            if (image.references and not named_too) or self._images.users(image.id):
                continue
            try:
                removal = await self._images.remove(image.id, request.origin, force=True)
            except EngineError:  # somebody has begun to use it
                continue
            removed += removed_json(removal.untagged, removal.deleted)
        after = await self._images.usage()
        won_bytes = max(0, before.layers_bytes - after.layers_bytes)
        return json_answer({"ImagesDeleted": removed or None, "SpaceReclaimed": won_bytes})


async def _chunks(body: Body) -> AsyncIterator[bytes]:
    while chunk := await body.next_chunk():
        yield chunk


def _loaded_lines(image: Image, references: tuple[str, ...]) -> tuple[str, ...]:
    if not references:
        return (f"Loaded image ID: {image.id}\n",)
    return tuple(
        f"Loaded image: {parse_reference(reference).familiar}\n" for reference in references
    )


def _flag(value: str) -> bool:
    if value in ("1", "true"):
        return True
    if value in ("0", "false"):
        return False
    raise InvalidRequest(f"invalid filter 'dangling=[{value}]'")


def _refers(image: Image, pattern: str) -> bool:
    """Whether a tag is that name, or fits a pattern as a shell has them."""
    return any(_fits(tag, pattern) for tag in repo_tags(image))


def _fits(tag: str, pattern: str) -> bool:
    return any(fnmatchcase(found, pattern) for found in (tag, tag.rpartition(":")[0]))


def _as_asked(image: Image, patterns: Collection[str]) -> Image:
    """With the names alone that were asked for, if any were."""
    if not patterns:
        return image
    kept = (
        each
        for each in image.references
        if any(_fits(parse_reference(each).familiar, pattern) for pattern in patterns)
    )
    return replace(image, references=tuple(kept))
