"""Run ``history``: show the log itself. Who did what to which container, when, and how it ended.

Shipslog's own paths, beside Docker's API:

``GET /shipslog/history?stream_of=NAME|ID&since=NS&until=NS&type=T&actor=A&follow=1`` A chunked body
of JSON objects, one event a line, in the order of ``seq``. All parameters may be left out.
``stream_of`` is any kind of thing, by name, ID or prefix, a removed one too; ``since`` and
``until`` are Unix nanoseconds; ``type`` is a stored type (``container_started``) or a glob;
``actor`` is a user name, a uid, a program, ``supervisor`` or ``monitor``. With ``follow`` the
answer goes on as events happen::

        {"seq": 7, "at_ns": 1795461697360084201, "at": "2026-11-23T19:21:37.360084201Z", "type":
        "container_started", "stream": "container/4f…", "version": 3, "name": "web", "id": "4f…",
        "actor": {"kind": "user", "name": "anna", "uid": 1000, "gid": 1000, "pid": 4711, "program":
        "/usr/bin/docker", "login_uid": 1000}, "outcome": "", "cause": 6, "correlation": "9c…",
        "data": {…}}

``GET /shipslog/containers/json?at=NS&all=1&filters=…``
    As Docker's list of containers, at a moment.
``GET /shipslog/containers/{name}/json?at=NS``
    As Docker's inspect, at a moment; containers that are removed by now included.
``GET /shipslog/verify``
    ``{"ok": true, "events": 1070, "first_bad_seq": null, "problems": []}``
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from engine.cli import output
from engine.cli.columns import aligned, short_id
from engine.cli.command import Command, Invocation
from engine.cli.engine import Query
from engine.cli.failures import Failure
from engine.cli.flags import Options, switch, text
from engine.cli.template.evaluation import Template
from engine.cli.times import local_rfc3339, now_ns, parse_moment

Event = Mapping[str, Any]  # Any: JSON of the API
_TITLES: Final = ("TIME", "EVENT", "CONTAINER", "WHO", "OUTCOME")
_REQUEST: Final = ("REQUEST", "CAUSE")
_WIDTHS: Final = (38, 30, 30, 34, 20, 34)
"""Widths of columns when the rows are not known yet, while following."""


def row(event: Event, *, verbose: bool) -> tuple[str, ...]:
    """Return one event as a row of the table."""
    columns = (
        local_rfc3339(int(event["at_ns"])),
        str(event["type"]),
        _what(event),
        who(event.get("actor") or {}),
        str(event.get("outcome") or "-"),
    )
    if not verbose:
        return columns
    cause = event.get("cause")
    return (*columns, str(event.get("correlation") or "-"), f"#{cause}" if cause else "-")


def _what(event: Event) -> str:
    name, identity = str(event.get("name") or ""), short_id(str(event.get("id") or ""))
    if name and identity:
        return f"{name} ({identity})"
    return name or identity or str(event.get("stream", ""))


def who(actor: Mapping[str, Any]) -> str:
    """Format an actor: ``anna(1000) pid 4711 /usr/bin/docker``, ``supervisor`` or ``monitor``."""
    if actor.get("kind") != "user":
        return str(actor.get("kind") or "-")
    uid = actor.get("uid")
    name = str(actor.get("name") or "")
    parts = [name if uid is None else f"{name}({uid})", str(actor.get("address") or "")]
    if (login := actor.get("login_uid")) is not None and login != uid:
        parts.append(f"login {login}")
    if actor.get("pid"):
        parts.append(f"pid {actor['pid']}")
    if actor.get("program"):
        parts.append(str(actor["program"]))
    return " ".join(part for part in parts if part)


def query_of(options: Options, arguments: list[str]) -> Query:
    """Return the request's parameters; raise Failure if a time is invalid."""
    return {
        "stream_of": arguments[0] if arguments else "",
        "since": _moment(options, "since"),
        "until": _moment(options, "until"),
        "type": options.text("type"),
        "actor": options.text("actor"),
        "follow": "1" if options.on("follow") else "",
    }


def _moment(options: Options, name: str) -> str:
    if not options.text(name):
        return ""
    try:
        return str(parse_moment(options.text(name), now_ns()))
    except ValueError as error:
        raise Failure(f'invalid value for "--{name}": {error}') from None


def _history(invocation: Invocation) -> int:
    options = invocation.options
    wanted = options.text("format", "table")
    query = query_of(options, invocation.arguments)
    template = Template(wanted) if wanted not in ("table", "json", "jsonl") else None
    lines = invocation.engine.request("GET", "/shipslog/history", query).lines()
    if wanted == "jsonl" or (wanted == "json" and options.on("follow")):
        for line in lines:
            output.write_bytes(output.STDOUT, line + b"\n")
        return 0
    events = map(json.loads, lines)
    if template is not None:
        _show_templated(template, events)
    elif wanted == "json":
        output.line(json.dumps(list(events), indent=4, ensure_ascii=False))
    else:
        _show_table(events, verbose=options.on("verbose"), follow=options.on("follow"))
    return 0


def _show_templated(template: Template, events: Iterable[Event]) -> None:
    for event in events:
        try:
            output.line(template.render(event))
        except LookupError as error:
            raise Failure(f"template parsing error: {error.args[0]}") from None


def _show_table(events: Iterator[Event], *, verbose: bool, follow: bool) -> None:
    titles = (*_TITLES, *_REQUEST) if verbose else _TITLES
    rows = (row(event, verbose=verbose) for event in events)
    if not follow:
        output.line(aligned("\n".join("\t".join(cells) for cells in (titles, *rows))))
        return
    output.line(_spaced(titles))
    for cells in rows:
        output.line(_spaced(cells))


def _spaced(cells: tuple[str, ...]) -> str:
    padded = [f"{cell:{width}}" for cell, width in zip(cells[:-1], _WIDTHS, strict=False)]
    return "  ".join([*padded, cells[-1]])


COMMANDS: Final = {
    "history": Command(
        "history [OPTIONS] [CONTAINER|IMAGE|NETWORK]",
        "Show who did what, when, and how it ended",
        _history,
        (
            text("actor", "", "Only what a user, uid, program, 'supervisor' or 'monitor' did"),
            switch("follow", "f", "Go on as events happen"),
            text("format", "", "Format output: 'table', 'json', 'jsonl' or a Go template", '"table"'),
            text("since", "", "From a moment on: '10m ago', '2026-11-20 10:00', RFC 3339, Unix time"),
            text("type", "", "Only events of a type: container_started, or a glob as 'container_*'"),
            text("until", "", "Up to a moment"),
            switch("verbose", "v", "Show the request and the event that caused each"),
        ),
        most=1,
    )
}  # fmt: skip
