"""Record a session with one engine, to compare it with the same session with another engine.

Only what must be the same is kept: IDs, times, addresses and pids are replaced by placeholders; a
JSON answer is kept as its fields and their types.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from tests.api.clients import DOCKER, Client, Done
from tests.harness.client import Api, Reply

_REPLACED: Final = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (r"\b[0-9a-f]{64}\b", "ID"),
        (r"\b[0-9a-f]{12}\b", "ID12"),
        (r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z| ?[+-]\d{2}:?\d{2})?( \w+)?", "TIME"),
        (r"\b(\d+|a|an|About an?|Less than a) (second|minute|hour)s?( ago)?\b", "AGO"),
        (r"\b(\d{1,3}\.){3}\d{1,3}\b", "ADDRESS"),
        (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "MAC"),
        (r"\b\d+(\.\d+)?([kMG]i?)?B\b", "SIZE"),
        (r" {2,}", "  "),
    )
)


_LEFT_OUT: Final = frozenset({"execDuration", "shipslog.seq"})
"""Attributes of events to leave out: one that newer versions of Docker send, and ours for
resuming.
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a session, and its outcome."""

    what: str
    outcome: tuple[str, ...]
    """Lines."""


@dataclass
class SessionRecorder:
    """Uses one engine, and records the outcomes.

    Attributes:
        api: its API.
        docker_command: Docker's command, with its address.
    """

    api: Api
    steps: list[Step] = field(default_factory=list)
    began_s: float = field(default_factory=time.time)

    @property
    def docker_command(self) -> Client:
        return Client(DOCKER, self.api.socket_path)

    def docker(
        self,
        *words: str,
        given: bytes = b"",
        code: int = 0,
        shown: bool = True,
        ordered: bool = True,
    ) -> Done:
        """Run Docker's command, which must end with ``code``. ``shown``: its output must be the
        same; ``ordered``: in this order.
        """
        done = self.docker_command(*words, given=given)
        what = normalised(f"docker {' '.join(words)}")
        assert done.code == code, f"{what}: {done}"
        said = (*_lines("out", done.out), *_lines("err", done.err)) if shown else ()
        self.steps.append(Step(what, (f"code {done.code}", *(said if ordered else sorted(said)))))
        return done

    def http(
        self, method: str, target: str, body: Any = None, *, status: int, **query: Any
    ) -> Reply:
        """Send a request, which must be answered with ``status``; an error's message and a value's
        shape are kept.
        """
        reply = self.api.request(method, target + ("?" + urlencode(query) if query else ""), body)
        what = normalised(f"{method} {target} {json.dumps(query)}")
        assert reply.status == status, f"{what}: {reply}"
        self.steps.append(Step(what, (f"status {status}", *_shown(reply))))
        return reply

    def keep(self, what: str, *lines: str) -> None:
        """Keep the outcome of another kind of step."""
        self.steps.append(Step(what, tuple(map(normalised, lines))))

    def events(self, *, ordered: bool = True) -> None:
        """Keep the events since the session began, of each kind of object in their order if that is
        always the same.
        """
        lines = self.api.call(
            "GET", "/events", since=f"{self.began_s:.9f}", until=f"{time.time():.9f}"
        ).body
        events = [json.loads(line) for line in lines.splitlines()]
        for kind in sorted({each["Type"] for each in events}):
            shown = tuple(normalised(_event_line(each)) for each in events if each["Type"] == kind)
            self.steps.append(Step(f"events of {kind}", shown if ordered else tuple(sorted(shown))))


Session = Callable[[SessionRecorder], None]
"""A session with one engine; it checks for itself the required outcome of each step."""


def normalised(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, word in _REPLACED:
        text = pattern.sub(word, text)
    return text.rstrip()


def shape(value: Any, at: str = "") -> Iterator[str]:
    """Yield each part of a JSON value as a line: its place and its type; the elements of a list
    count as one.
    """
    match value:
        case dict():
            yield f"{at or '/'} object"
            for name in sorted(value):
                yield from shape(value[name], f"{at}/{normalised(name)}")
        case list():
            yield f"{at or '/'} array"
            yield from sorted({line for each in value for line in shape(each, f"{at}/*")})
        case bool():
            yield f"{at} boolean"
        case int() | float():
            yield f"{at} number"
        case None:
            yield f"{at or '/'} null"
        case _:
            yield f"{at} string"


def _shown(reply: Reply) -> tuple[str, ...]:
    if not reply.body.strip():
        return ()
    if reply.status >= 400:
        return (f"message {_uncapitalised(reply.message)}",)
    try:
        values = [json.loads(line) for line in reply.body.splitlines() if line.strip()]
    except ValueError:
        return ("no JSON",)
    return tuple(line for value in values for line in shape(value))


def _lines(stream: str, text: str) -> tuple[str, ...]:
    return tuple(f"{stream} {_uncapitalised(line)}" for line in text.splitlines())


def _uncapitalised(text: str) -> str:
    """Normalise a text, and begin with a small letter after each colon: newer versions of Docker no
    longer begin errors with capitals.
    """
    return re.sub(r"(^|: )([A-Z])(?=[a-z])", lambda found: found[0].lower(), normalised(text))


def _event_line(event: dict[str, Any]) -> str:
    attributes = {
        name: value for name, value in event["Actor"]["Attributes"].items() if name not in _LEFT_OUT
    }
    return f"{event['Action']} {json.dumps(attributes, sort_keys=True)}"
