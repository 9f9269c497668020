"""Run ``shipslogd`` so that it records each answer, for the comparison with the API's own
description.

    python -m tests.harness.recording BOOK [OPTION OF SHIPSLOGD]...

The engine is not changed: the application is wrapped where the daemon would call it. An answer is
one line, written by one call to a file opened for appending, so that a killed daemon leaves whole
lines.
"""

import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from engine.api.application import application
from engine.api.history.handlers import JSON_LINES
from engine.api.http import router
from engine.api.http.http11 import Application
from engine.api.http.incoming import Refusal
from engine.api.http.replies import JSON, Answer, Hijacked, Reply, Sink, Streamed
from engine.api.http.requests import Query, Request
from engine.api.http.status import answer_error, error_answer
from engine.daemon import __main__ as shipslogd
from engine.errors import EngineError, Kind
from engine.service.engine import Service

_JUDGED: Final = (JSON, JSON_LINES)
"""Media types of bodies that are checked."""
_encode: Final = msgspec.json.Encoder().encode


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, or a part of one."""

    method: str
    target: str
    status: int
    media_type: str
    body: bytes = b""
    """Base64 in the file."""
    stream: str = ""
    """Joins the parts of a streamed answer; empty for a complete one."""
    looked_up: tuple[str, ...] = ()
    """Names of the query that the handler looked up, whether they were there or not."""


class NotedQuery(Query):
    """A query that records which names a handler looks up."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.looked_up: set[str] = set()

    def __contains__(self, name: str) -> bool:
        self.looked_up.add(name)
        return super().__contains__(name)

    def text(self, name: str, default: str = "") -> str:
        self.looked_up.add(name)
        return super().text(name, default)

    def texts(self, name: str) -> tuple[str, ...]:
        self.looked_up.add(name)
        return super().texts(name)

    def flag(self, name: str, *, default: bool = False) -> bool:
        self.looked_up.add(name)
        return super().flag(name, default=default)


class Recorder:
    """Records an application's answers, without changing them."""

    def __init__(self, path: Path) -> None:
        vars(router)["Query"] = NotedQuery
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def around(self, application: Application) -> Application:
        """Wrap an application."""

        async def answer(request: Request) -> Reply:
            request.query = NotedQuery()  # the router replaces it if there is a query
            try:
                reply = await application(request)
            except (Refusal, ConnectionError):
                raise
            except Exception as error:
                self._write(request, _as_answered(error))
                raise
            if isinstance(reply, Streamed):
                return self._recorded_stream(request, reply)
            self._write(request, reply)
            return reply

        return answer

    def _write(self, request: Request, reply: Answer | Hijacked) -> None:
        if isinstance(reply, Answer):
            body = reply.body if reply.media_type in _JUDGED or reply.status != 200 else b""
            self._line(request, reply.status, reply.media_type, body)
        else:
            self._line(request, 101 if request.wants_upgrade else 200, reply.media_type)

    def _recorded_stream(self, request: Request, reply: Streamed) -> Streamed:
        async def produce(sink: Sink) -> None:
            async def recorded_sink(part: bytes) -> None:
                self._line(request, reply.status, reply.media_type, part, request.correlation)
                await sink(part)

            await reply.produce(recorded_sink)

        if reply.media_type not in _JUDGED:
            self._line(request, reply.status, reply.media_type)
            return reply
        return Streamed(
            produce, reply.media_type, reply.status, reply.headers, endless=reply.endless
        )

    def _line(
        self, request: Request, status: int, media_type: str, body: bytes = b"", stream: str = ""
    ) -> None:
        line = Line(
            method=request.method,
            target=request.target,
            status=status,
            media_type=media_type,
            body=body,
            stream=stream,
            looked_up=_look_up(request),
        )
        os.write(self._fd, _encode(line) + b"\n")


def _look_up(request: Request) -> tuple[str, ...]:
    return tuple(sorted(request.query.looked_up)) if isinstance(request.query, NotedQuery) else ()


def _as_answered(error: Exception) -> Answer:
    """Return the answer that the connection will make of an error, without a second entry in the
    log.
    """
    if isinstance(error, EngineError) and error.kind is not Kind.INTERNAL:
        return answer_error(error, "")
    return error_answer(500, "internal error")


def main(arguments: list[str]) -> None:
    """Run shipslogd."""
    path, *options = arguments
    recorder = Recorder(Path(path))

    def recorded(service: Service) -> Application:
        return recorder.around(application(service))

    vars(shipslogd)["application"] = recorded
    sys.argv = ["shipslogd", *options]
    shipslogd.main()


if __name__ == "__main__":
    main(sys.argv[1:])
