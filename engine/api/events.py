"""``GET /events``: Docker's stream of what happens, told from the log: all of it, not the last 256."""

from contextlib import aclosing
from dataclasses import replace
from typing import Final

import trio

from engine.api.filters import Filters, parse_filters
from engine.api.replies import JSON, Reply, Sink, Streamed, json_line
from engine.api.requests import Request
from engine.api.router import Route
from engine.api.shapes_event import Message, Subject, Translator
from engine.api.times import SECOND_NS, parse_moment
from engine.domain.container_events import Created, Renamed
from engine.errors import NotFound
from engine.service.engine import Service
from engine.service.history import Entry, Question

_KNOWN: Final = frozenset(
    {
        *("config", "container", "daemon", "event", "image", "label", "network", "node", "plugin"),
        *("scope", "secret", "service", "type", "volume"),
    }
)
_NAMING: Final = (Created.TYPE, Renamed.TYPE)


class EventHandlers:
    """Who wants to know what happens."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> tuple[Route, ...]:
        """Who answers what."""
        return (("GET", "/events", self.events),)

    async def events(self, request: Request) -> Reply:
        """``docker events``: from ``since`` on, or from now; until ``until``, or for ever."""
        query = request.query
        filters = parse_filters(query.text("filters"), _KNOWN)
        since_ns, until_ns = parse_moment(query.text("since")), parse_moment(query.text("until"))
        last_seq = self._service.ledger.log.last_seq
        from_start = "since" in query and query.text("since") != ""
        question = Question(
            after_seq=0 if from_start else last_seq, since_ns=since_ns, until_ns=until_ns
        )

        async def produce(send: Sink) -> None:
            await self._tell(question, filters, send)

        return Streamed(produce, JSON, endless=True)

    async def _tell(self, question: Question, filters: Filters, send: Sink) -> None:
        """What has happened, however long that takes, and then what happens until the time is over."""
        ledger = self._service.ledger
        if question.until_ns is None:
            await self._tell_all(question, filters, send, follow=True)
            return
        so_far = ledger.log.last_seq
        await self._tell_all(replace(question, until_seq=so_far), filters, send, follow=False)
        left_s = (question.until_ns - ledger.clock.wall_ns()) / SECOND_NS
        with trio.move_on_after(max(0.0, left_s)):
            await self._tell_all(replace(question, after_seq=so_far), filters, send, follow=True)

    async def _tell_all(
        self, question: Question, filters: Filters, send: Sink, *, follow: bool
    ) -> None:
        translator = Translator(self._service.ledger.durable.networks)
        entries = self._service.history.entries(question, follow=follow)
        async with aclosing(entries):
            async for block in entries:
                lines = []
                for entry in block:
                    if not translator.knows(entry):
                        translator.learn(entry, await self._subject(entry))
                    lines += [
                        json_line(each.json())
                        for each in translator.messages(entry)
                        if _wanted(each, filters)
                    ]
                if lines:
                    await send(b"".join(lines))

    async def _subject(self, entry: Entry) -> Subject:
        """A container that was made before the first event that is told, as it was called just before it."""
        return await trio.to_thread.run_sync(self._read_subject, entry)

    def _read_subject(self, entry: Entry) -> Subject:
        stream = "/".join(entry.stream.split("/")[:2])
        subject = None
        for recorded in self._service.ledger.log.read(
            stream=stream, types=_NAMING, until_seq=entry.seq - 1
        ):
            match recorded.event:
                case Created(id=identity, name=name, spec=spec):
                    subject = Subject(identity, name, spec.image, spec.labels, spec.network_mode)
                case Renamed(name=name) if subject is not None:
                    subject.name = name
        if subject is None:
            raise NotFound(f"the log has no beginning of {stream}")
        return subject


def _wanted(message: Message, filters: Filters) -> bool:
    """Whether a message passes; a filter for one kind of thing passes no other kind."""
    if not filters:
        return True
    return (
        filters.exact("type", message.type)
        and filters.exact("event", message.action, message.action.partition(":")[0])
        and filters.exact("scope", "local")
        and filters.labels(message.attributes)
        and _about_wanted(message, filters)
    )


def _about_wanted(message: Message, filters: Filters) -> bool:
    for kind in (
        "container",
        "image",
        "network",
        "volume",
        "daemon",
        "plugin",
        "service",
        "node",
        "secret",
        "config",
    ):
        wanted = filters.values(kind)
        if not wanted:
            continue
        if kind == "image" and message.type == "container":
            if message.attributes.get("image") not in wanted:
                return False
        elif message.type != kind or not any(_is(message, word) for word in wanted):
            return False
    return True


def _is(message: Message, word: str) -> bool:
    name = message.attributes.get("name", "")
    return message.id.startswith(word) or word.removeprefix("/") in (name, name.rpartition(":")[0])
