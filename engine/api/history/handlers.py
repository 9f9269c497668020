"""Handle Shipslog's own paths: history, the state at a past moment, verification."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from engine.api.containers.answers import ContainerSummary
from engine.api.containers.context import context_at
from engine.api.containers.filters import CONTAINER_FILTERS, ContainerFilter
from engine.api.containers.inspect_answers import ContainerInspect
from engine.api.containers.show import inspect_json, summary_json
from engine.api.history.answers import HistoryEntry, Verdict
from engine.api.http.json_bodies import Json
from engine.api.http.operations import Lines, Operation, filters, flag, integer, text
from engine.api.http.replies import Reply, Sink, Streamed, json_answer, json_line
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.api.times import Moment, stamp
from engine.errors import InvalidRequest
from engine.queries.history import Entry, Question
from engine.queries.lookups import Lookups
from engine.service.engine import Service

JSON_LINES: Final = "application/x-ndjson"
_TIME: Final = "Nanoseconds since 1970."
_NANOSECONDS: Final = re.compile(r"\d{1,19}")


class HistoryHandlers:
    """Handles history, past states and verification."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "GET",
                "/shipslog/history",
                self.history,
                Operation(
                    summary="Read the log, one event a line.",
                    query=(
                        text(
                            "stream_of",
                            "A container, network or image, by name or ID, or a stream.",
                        ),
                        integer("after", "Only events behind this position."),
                        text("since", _TIME),
                        text("until", _TIME),
                        text("type", "A type of event, or a pattern."),
                        text("actor", "Who asked."),
                        flag("follow", "Go on with what happens."),
                    ),
                    answers={200: Lines(HistoryEntry, JSON_LINES)},
                    refusals=(404,),
                ),
            ),
            Route(
                "GET",
                "/shipslog/containers/json",
                self.list_at,
                Operation(
                    summary="List the containers that there were at a moment.",
                    query=(
                        text("at", _TIME, required=True),
                        flag("all", "Those that did not run, too."),
                        integer("limit"),
                        filters(*CONTAINER_FILTERS),
                    ),
                    answers={200: list[ContainerSummary]},
                    refusals=(404,),
                ),
            ),
            Route(
                "GET",
                "/shipslog/containers/{name}/json",
                self.inspect_at,
                Operation(
                    summary="Inspect a container as it was at a moment.",
                    query=(text("at", _TIME, required=True),),
                    answers={200: ContainerInspect},
                    refusals=(404, 409),
                ),
            ),
            Route(
                "GET",
                "/shipslog/verify",
                self.verify,
                Operation(
                    summary="Read the whole log and check whether it is sound.",
                    answers={200: Verdict},
                ),
            ),
        )

    async def history(self, request: Request) -> Reply:
        """Handle ``shipslog history``: one event a line; with ``follow`` as long as the client
        listens.
        """
        query = request.query
        question = Question(
            about=query.text("stream_of") or None,
            after_seq=query.integer("after"),
            since_ns=_nanoseconds(request, "since"),
            until_ns=_nanoseconds(request, "until"),
            type=query.text("type") or None,
            actor=query.text("actor") or None,
        )
        follow = query.flag("follow")
        entries = self._service.history.entries(question, follow=follow)
        # A malformed question is refused before the head is sent.
        first = () if follow else await _first(entries)

        async def produce(send: Sink) -> None:
            async with aclosing(entries):
                await send(b"".join(map(_line, first)))
                async for block in entries:
                    await send(b"".join(map(_line, block)))

        return Streamed(produce, JSON_LINES, endless=follow)

    async def list_at(self, request: Request) -> Reply:
        """Handle ``shipslog ps --at``."""
        at_ns = _moment(request)
        view = await self._service.history.view_at(at_ns)
        requested = ContainerFilter(request.query, self._service.images)
        newest_first = sorted(
            view.containers.values(), key=lambda each: each.created_ns, reverse=True
        )
        context = context_at(self._service, Lookups(view), Moment(at_ns))
        return json_answer([summary_json(each, context) for each in requested.chosen(newest_first)])

    async def inspect_at(self, request: Request) -> Reply:
        """Handle ``shipslog inspect --at``."""
        at_ns = _moment(request)
        view = await self._service.history.view_at(at_ns)
        container = view.container(request.params["name"])
        execs = view.execs_of.get(container.id, {})
        context = context_at(self._service, Lookups(view), Moment(at_ns))
        return json_answer(inspect_json(container, context, tuple(execs)))

    async def verify(self, _request: Request) -> Reply:
        """Handle ``shipslog verify``."""
        verdict = await self._service.history.verify()
        return json_answer(
            {
                "ok": verdict.first_bad_seq is None and not verdict.problems,
                "events": verdict.events,
                "first_bad_seq": verdict.first_bad_seq,
                "problems": verdict.problems,
            }
        )


async def _first(entries: AsyncGenerator[tuple[Entry, ...], None]) -> tuple[Entry, ...]:
    """Return the first block, or none. ``anext(entries, ())`` is broken on Python 3.11 for a
    generator that waits before it ends.
    """
    try:
        return await anext(entries)
    except StopAsyncIteration:
        return ()


def _line(entry: Entry) -> bytes:
    line: Json = {
        "seq": entry.seq,
        "at_ns": entry.at_ns,
        "at": stamp(entry.at_ns),
        "type": entry.type,
        "stream": entry.stream,
        "version": entry.version,
        "name": entry.name,
        "id": entry.id,
        "actor": entry.actor,
        "outcome": entry.outcome,
        "cause": entry.cause,
        "correlation": entry.correlation,
        "data": entry.data,
    }
    return json_line(line)


def _nanoseconds(request: Request, name: str) -> int | None:
    text = request.query.text(name)
    if text and not _NANOSECONDS.fullmatch(text):
        raise InvalidRequest(f'{name}: "{text}" is not a time in nanoseconds since 1970')
    return int(text) if text else None


def _moment(request: Request) -> int:
    at_ns = _nanoseconds(request, "at")
    if at_ns is None:
        raise InvalidRequest("at: which moment is asked about, in nanoseconds since 1970")
    return at_ns
