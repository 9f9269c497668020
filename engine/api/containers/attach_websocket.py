"""Handle ``GET /containers/{name}/attach/ws``: attach for browsers.

As in Docker: the streams are never multiplexed; clients before 1.42 get all of them, later ones
those that they ask for; frames towards the client are binary since 1.28 and text before. Unlike in
Docker, a page of another origin is refused: a browser would let any page speak to a port of the
user's own machine.
"""

from typing import Final
from urllib.parse import urlsplit

from engine.api.containers.attach import Conversation
from engine.api.http.operations import Bytes, Operation, flag
from engine.api.http.replies import Hijacked, Reply, WebSocket
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.api.http.stream_types import ATTACH_QUERY, RAW_STREAM
from engine.errors import InvalidRequest
from engine.ports.streams import LogOptions, StreamOptions
from engine.service.engine import Service

_BINARY_SINCE: Final = (1, 28)
_CHOSEN_SINCE: Final = (1, 42)


class WebSocketHandlers:
    """Handles attaches of clients that can't take a connection over."""

    def __init__(self, service: Service) -> None:
        self._containers = service.containers
        self._streams = service.streams

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "GET",
                "/containers/{name}/attach/ws",
                self.attach,
                Operation(
                    summary="Attach to the standard streams of a container by WebSocket.",
                    query=(
                        *ATTACH_QUERY,
                        flag("logs", "What was written before, first."),
                    ),
                    answers={101: Bytes((RAW_STREAM,))},
                    refusals=(404, 409),
                ),
            ),
        )

    async def attach(self, request: Request) -> Reply:
        """Connect the streams to a WebSocket."""
        from engine.api.http.websocket import (
            accept_token,
        )  # takes a megabyte, and few clients need it

        reference = request.params["name"]
        self._containers.get(reference)
        _check_origin(request)
        websocket = WebSocket(accept_token(request), text=request.version < _BINARY_SINCE)
        requested = _requested(request)
        attachment = None
        if request.query.flag("stream"):
            attachment = await self._streams.attach(reference, requested, request.origin)
        past = None
        if request.query.flag("logs"):
            past = LogOptions(stdout=requested.stdout, stderr=requested.stderr, raw=True)
        take = Conversation(self._streams, reference, attachment, past)
        return Hijacked(take, RAW_STREAM, websocket)


def _requested(request: Request) -> StreamOptions:
    query, everything = request.query, request.version < _CHOSEN_SINCE
    return StreamOptions(
        stdin=everything or query.flag("stdin"),
        stdout=everything or query.flag("stdout"),
        stderr=everything or query.flag("stderr"),
        detach_keys=query.text("detachKeys"),
        raw=True,
    )


def _check_origin(request: Request) -> None:
    """Refuse a page of another origin, RFC 6455 section 10.2: only browsers send an origin."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise InvalidRequest(f"a page of {origin} may not attach to containers")
