"""Handle ``GET /events``: Docker's stream of messages, made from the whole log and not from the
last 256 events.

Resuming
========

Every event carries its position in the log as the attribute ``shipslog.seq``. A reader that has
been cut off asks for what comes after the last one it has seen, and gets every message once,
whatever has happened meanwhile::

    curl --unix-socket … 'http://x/events?after_seq=4711.2'
    docker events --filter after_seq=4711.2
    docker_client.events(filters={"after_seq": "4711.2"})

A plain number, as ``shipslog history`` shows, means all messages of that event of the log.
"""

import re
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

import trio

from engine.api.events.answers import EventMessage
from engine.api.events.filters import AFTER, KNOWN, is_wanted
from engine.api.events.show import Message, Translator
from engine.api.filters import Filters, parse_filters
from engine.api.http.operations import Lines, Operation, filters, text
from engine.api.http.replies import JSON, Reply, Sink, Streamed, json_line
from engine.api.http.requests import Query, Request
from engine.api.http.router import Route
from engine.api.times import SECOND_NS, parse_moment_or_span
from engine.errors import InvalidRequest
from engine.queries.history import Entry, Question
from engine.service.engine import Service

_POSITION: Final = re.compile(r"(?P<seq>\d{1,18})(?:\.(?P<part>\d{1,9}))?")
_WHOLE: Final = 1 << 30
"""More messages than any event has."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the stream of messages: after this part of this event of the log."""

    seq: int
    part: int = _WHOLE

    def is_before(self, message: Message) -> bool:
        """Return whether a message comes after this position."""
        return (message.seq, message.part) > (self.seq, self.part)


class EventHandlers:
    """Handles ``/events``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "GET",
                "/events",
                self.events,
                Operation(
                    summary="Tell what happens, as it happens.",
                    query=(
                        text("since", "A time, or a span before now."),
                        text("until", "A time, or a span before now."),
                        text(AFTER, "Go on behind this position in the log."),
                        filters(*KNOWN),
                    ),
                    answers={200: Lines(EventMessage)},
                ),
            ),
        )

    async def events(self, request: Request) -> Reply:
        """Handle ``docker events``: from ``since``, or from now, until ``until``, or for ever."""
        wanted = parse_filters(request.query.text("filters"), KNOWN)
        question, after = self._question(request.query, wanted)
        reading = _Reading(self._service, wanted, after)

        async def produce(send: Sink) -> None:
            await reading.send(question, send)

        return Streamed(produce, JSON, endless=True)

    def _question(self, query: Query, wanted: Filters) -> tuple[Question, Position]:
        """Return the part of history that is asked for; with an end but no beginning, everything
        before.
        """
        now_ns = self._service.system.wall_ns()
        since, until = query.text("since"), query.text("until")
        since_ns = parse_moment_or_span(since, now_ns) if since else None
        until_ns = parse_moment_or_span(until, now_ns) if until not in ("", "0") else None
        if since_ns is not None and until_ns is not None and until_ns < since_ns:
            raise InvalidRequest(f"`since` time ({since}) cannot be after `until` time ({until})")
        after = _position(query.text(AFTER), *wanted.values(AFTER))
        if after is None and since_ns is None and until_ns is None:
            after = Position(self._service.events.last_seq)
        after = after or Position(0)
        # the event that is half sent is read again, for its other half
        question = Question(after_seq=max(0, after.seq - 1), since_ns=since_ns, until_ns=until_ns)
        return question, after


class _Reading:
    """One reader of the log."""

    def __init__(self, service: Service, wanted: Filters, after: Position) -> None:
        self._service = service
        self._filters = wanted
        self._after = after
        lookups = service.system.lookups
        self._translator = Translator(lookups.networks, lookups.images)

    async def send(self, question: Question, send: Sink) -> None:
        """Send the past, however long that takes, then what happens until the end that was asked
        for.
        """
        if question.until_ns is None:
            await self._send_all(question, send, follow=True)
            return
        so_far = self._service.events.last_seq
        await self._send_all(replace(question, until_seq=so_far), send, follow=False)
        left_s = (question.until_ns - self._service.system.wall_ns()) / SECOND_NS
        with trio.move_on_after(max(0.0, left_s)):
            following = replace(question, after_seq=max(so_far, question.after_seq))
            await self._send_all(following, send, follow=True)

    async def _send_all(self, question: Question, send: Sink, *, follow: bool) -> None:
        entries = self._service.history.entries(question, follow=follow)
        async with aclosing(entries):
            async for block in entries:
                lines = [line for entry in block for line in await self._lines(entry)]
                if lines:
                    await send(b"".join(lines))

    async def _lines(self, entry: Entry) -> list[bytes]:
        translator = self._translator
        if not translator.knows(entry):
            translator.learn(entry, await self._service.events.subject_before(entry))
        if translator.needs_labels(entry):
            translator.learn_labels(entry, await self._service.events.image_labels(entry))
        return [
            json_line(message.json())
            for message in translator.messages(entry)
            if self._after.is_before(message) and is_wanted(message.content, self._filters)
        ]


def _position(*texts: str) -> Position | None:
    """Return the position that was asked for; the last one counts."""
    given = [text for text in texts if text]
    if not given:
        return None
    match = _POSITION.fullmatch(given[-1])
    if match is None:
        raise InvalidRequest(f"invalid {AFTER} {given[-1]!r}: not a position in the log")
    part = match["part"]
    return Position(int(match["seq"]), _WHOLE if part is None else int(part))
