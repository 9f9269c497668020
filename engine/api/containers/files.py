"""Handle ``docker cp``, ``docker export`` and ``docker diff``."""

from collections.abc import AsyncIterator
from typing import Final, TypedDict

from engine.api.containers.file_answers import PATH_STAT_HEADER, change_json, path_stat_header
from engine.api.http.archives import OCTETS, TAR, streamed
from engine.api.http.operations import Bytes, Header, Operation, flag, text
from engine.api.http.replies import Answer, Reply, json_answer
from engine.api.http.requests import Body, Request
from engine.api.http.router import Route
from engine.errors import InvalidRequest
from engine.ports.files import UnpackOptions
from engine.service.engine import Service

_PATH: Final = text("path", "Where in the container.", required=True)
_STAT: Final = Header(PATH_STAT_HEADER, "What stands at the path: a JSON object in base64.")


class FileChange(TypedDict):
    """A path that differs from the image: 0 changed, 1 added, 2 removed."""

    Path: str
    Kind: int


class ArchiveHandlers:
    """Handles copies into and out of containers, exports and comparisons."""

    def __init__(self, service: Service) -> None:
        self._containers = service.containers
        self._files = service.files

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "HEAD",
                "/containers/{name}/archive",
                self.stat,
                Operation(
                    summary="Tell what stands at a path in a container, in a header.",
                    query=(_PATH,),
                    answers={200: None},
                    headers=(_STAT,),
                    refusals=(404, 409),
                ),
            ),
            Route(
                "GET",
                "/containers/{name}/archive",
                self.read,
                Operation(
                    summary="Read what stands at a path in a container, as a tar archive.",
                    query=(_PATH,),
                    answers={200: Bytes((TAR,))},
                    headers=(_STAT,),
                    refusals=(404, 409),
                ),
            ),
            Route(
                "PUT",
                "/containers/{name}/archive",
                self.write,
                Operation(
                    summary="Unpack a tar archive into a directory of a container.",
                    query=(
                        _PATH,
                        flag(
                            "noOverwriteDirNonDir",
                            "Refuse to replace a directory by something else, or the reverse.",
                        ),
                        flag("copyUIDGID", "Files belong to the user of the container."),
                    ),
                    body=Bytes((TAR, OCTETS)),
                    answers={200: None},
                    refusals=(403, 404, 409),
                ),
            ),
            Route(
                "GET",
                "/containers/{name}/export",
                self.export,
                Operation(
                    summary="Read all files of a container, as a tar archive.",
                    answers={200: Bytes((OCTETS,))},
                    refusals=(404, 409),
                ),
            ),
            Route(
                "GET",
                "/containers/{name}/changes",
                self.changes,
                Operation(
                    summary="List the files that a container has changed.",
                    answers={200: list[FileChange] | None},
                    refusals=(404, 409),
                ),
            ),
        )

    async def stat(self, request: Request) -> Reply:
        """Handle the request that ``docker cp`` makes before it copies."""
        found = await self._files.stat(request.params["name"], _path(request))
        return Answer(200, headers=(path_stat_header(found),))

    async def read(self, request: Request) -> Reply:
        """Handle ``docker cp CONTAINER:PATH …``."""
        name, path = request.params["name"], _path(request)
        reading = await self._files.read(name, path, request.origin)
        return streamed(reading, TAR, (path_stat_header(reading.stat),))

    async def write(self, request: Request) -> Reply:
        """Handle ``docker cp … CONTAINER:PATH``."""
        name, path, query = request.params["name"], _path(request), request.query
        as_container = query.flag("copyUIDGID")
        options = UnpackOptions(
            keep_kinds=query.flag("noOverwriteDirNonDir"),
            owner=self._containers.get(name).spec.user if as_container else "",
        )
        await self._files.write(name, path, _chunks(request.body), request.origin, options)
        return Answer(200)

    async def export(self, request: Request) -> Reply:
        """Handle ``docker export``."""
        reading = await self._files.export(request.params["name"], request.origin)
        return streamed(reading, OCTETS)

    async def changes(self, request: Request) -> Reply:
        """Handle ``docker diff``."""
        found = await self._files.changes(request.params["name"])
        return json_answer([change_json(change) for change in found] or None)


def _path(request: Request) -> str:
    path = request.query.text("path")
    if not path:
        raise InvalidRequest("bad parameter: pathcannot be empty")
    return path


async def _chunks(body: Body) -> AsyncIterator[bytes]:
    while chunk := await body.next_chunk():
        yield chunk
