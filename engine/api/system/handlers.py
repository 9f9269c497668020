"""Handle ping, version and info."""

from dataclasses import replace
from typing import Final

import trio

from engine.api.http.operations import Bytes, Header, Operation
from engine.api.http.replies import PLAIN_TEXT, Answer, Headers, Reply, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.api.system.answers import Info, Version
from engine.api.system.show import info_json, version_json
from engine.service.engine import Service

_NOT_CACHED: Final[Headers] = (
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
)
_PONG: Final = Answer(
    200, b"OK", PLAIN_TEXT, (*_NOT_CACHED, ("Builder-Version", "1"), ("Swarm", "inactive"))
)
_PONG_HEAD: Final = replace(_PONG, body=b"")
"""Docker answers HEAD with another length; its clients don't look at it."""
_PONG_HEADERS: Final = (
    Header("Builder-Version", "Which builder clients should use by themselves."),
    Header("Swarm", "Whether the engine is in a swarm: always inactive."),
    Header("Cache-Control", "The answer is never kept."),
    Header("Pragma", "The same for HTTP/1.0."),
)


class SystemHandlers:
    """Handles what clients ask first: ping, version, info."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "GET",
                "/_ping",
                self.ping,
                Operation(
                    summary="Tell that the engine is here; headers say what it speaks.",
                    answers={200: Bytes((PLAIN_TEXT,))},
                    headers=_PONG_HEADERS,
                ),
            ),
            Route(
                "HEAD",
                "/_ping",
                self.ping,
                Operation(
                    summary="Tell that the engine is here, in headers alone.",
                    answers={200: None},
                    headers=_PONG_HEADERS,
                ),
            ),
            Route(
                "GET",
                "/version",
                self.version,
                Operation(
                    summary="Tell the versions of the engine and of the API.",
                    answers={200: Version},
                ),
            ),
            Route(
                "GET",
                "/info",
                self.info,
                Operation(summary="Tell about the engine and the machine.", answers={200: Info}),
            ),
        )

    async def ping(self, request: Request) -> Reply:
        """Answer that the engine is there; the headers say which API it has."""
        return _PONG if request.method == "GET" else _PONG_HEAD

    async def version(self, _request: Request) -> Reply:
        """Handle ``docker version``."""
        return json_answer(version_json(self._service, await self._service.system.facts()))

    async def info(self, request: Request) -> Reply:
        """Handle ``docker info``."""
        tasks = trio.lowlevel.current_statistics().tasks_living
        host = await self._service.system.facts()
        return json_answer(info_json(self._service, host, request.version, tasks))
