"""Handle attach, logs and resize of containers."""

from contextlib import aclosing
from typing import TypedDict

from engine.api.containers.attach import Conversation
from engine.api.http.operations import Operation, flag, text
from engine.api.http.replies import Answer, Hijacked, Reply, Sink, Streamed, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.api.http.stream_types import (
    ATTACH_QUERY,
    SIZE_QUERY,
    STREAM,
    attach_options,
    stream_media_type,
    terminal_size,
)
from engine.api.times import parse_moment
from engine.domain.container.detach_keys import parse_detach_keys
from engine.errors import InvalidRequest, Unsupported
from engine.ports.streams import LogOptions
from engine.service.engine import Service


class ProcessTable(TypedDict):
    """The lines of ps(1), cut into columns."""

    Titles: list[str]
    Processes: list[list[str]]


class ContainerStreamHandlers:
    """Handles attach, logs, resize and top."""

    def __init__(self, service: Service) -> None:
        self._containers = service.containers
        self._streams = service.streams

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "POST",
                "/containers/{name}/attach",
                self.attach,
                Operation(
                    summary="Attach to the standard streams of a container.",
                    query=(
                        *ATTACH_QUERY,
                        flag("logs", "What was written before, first."),
                    ),
                    answers={200: STREAM, 101: STREAM},
                    refusals=(404, 409),
                ),
            ),
            Route(
                "GET",
                "/containers/{name}/logs",
                self.logs,
                Operation(
                    summary="Read what a container has written.",
                    query=(
                        flag("follow", "Go on as it writes more."),
                        flag("stdout"),
                        flag("stderr"),
                        text("since", "A time: seconds since 1970, or RFC 3339."),
                        text("until", "A time, likewise."),
                        flag("timestamps"),
                        flag("details"),
                        text("tail", "So many lines of the end, or all."),
                    ),
                    answers={200: STREAM},
                    refusals=(404,),
                ),
            ),
            Route(
                "POST",
                "/containers/{name}/resize",
                self.resize,
                Operation(
                    summary="Change the size of a container's terminal.",
                    query=(*SIZE_QUERY,),
                    answers={200: None},
                    refusals=(404, 409),
                ),
            ),
            Route(
                "GET",
                "/containers/{name}/top",
                self.top,
                Operation(
                    summary="List the processes of a container.",
                    query=(text("ps_args", "Options of ps(1); -ef if absent."),),
                    answers={200: ProcessTable},
                    refusals=(404, 409),
                ),
            ),
        )

    async def attach(self, request: Request) -> Reply:
        """Handle ``docker attach``: the log first if asked for, then the streams."""
        query, reference = request.query, request.params["name"]
        tty = self._containers.get(reference).spec.tty
        options = attach_options(request)
        self._streams.check_attachable(reference)
        parse_detach_keys(options.detach_keys)  # refused even when no stream is asked for
        streaming = options.stdin or options.stdout or options.stderr
        attachment = (
            await self._streams.attach(reference, options, request.origin) if streaming else None
        )
        past = LogOptions(stdout=query.flag("stdout"), stderr=query.flag("stderr"))
        replayed = past if query.flag("logs") else None
        take = Conversation(self._streams, reference, attachment, replayed)
        media_type = stream_media_type(request, tty=tty)
        return Hijacked(take, media_type, speaks_first=replayed is not None)

    async def logs(self, request: Request) -> Reply:
        """Handle ``docker logs``."""
        reference, options = request.params["name"], _log_options(request)
        spec = self._containers.get(reference).spec
        if not spec.log.is_kept:
            raise Unsupported("configured logging driver does not support reading")
        tty = spec.tty

        async def produce(send: Sink) -> None:
            async with aclosing(self._streams.logs(reference, options)) as output:
                async for block in output:
                    await send(block)

        return Streamed(produce, stream_media_type(request, tty=tty), endless=options.follow)

    async def resize(self, request: Request) -> Reply:
        """Handle a new size of the terminal."""
        height, width = terminal_size(request)
        reference, origin = request.params["name"], request.origin
        await self._streams.resize(reference, origin, height=height, width=width)
        return Answer(200)

    async def top(self, request: Request) -> Reply:
        """Handle ``docker top``."""
        table = await self._streams.processes(
            request.params["name"], request.query.text("ps_args"), request.origin
        )
        return json_answer({"Titles": table.titles, "Processes": table.rows})


def _log_options(request: Request) -> LogOptions:
    query = request.query
    stdout, stderr = query.flag("stdout"), query.flag("stderr")
    if not stdout and not stderr:
        raise InvalidRequest("Bad parameters: you must choose at least one stream")
    tail = query.text("tail")
    return LogOptions(
        stdout=stdout,
        stderr=stderr,
        since_ns=parse_moment(query.text("since")) or 0,
        until_ns=parse_moment(query.text("until")),
        tail=int(tail) if tail.isascii() and tail.isdigit() and len(tail) < 19 else None,
        timestamps=query.flag("timestamps"),
        details=query.flag("details"),
        follow=query.flag("follow"),
    )
