"""Run ``events``: show Docker's events as they happen. ``history`` shows all of the log's."""

import json
from typing import Any, Final

from engine.cli import output
from engine.cli.command import Command, Invocation
from engine.cli.failures import Failure
from engine.cli.filters import FILTER, encoded
from engine.cli.flags import text
from engine.cli.logs import moment
from engine.cli.template.evaluation import Template
from engine.cli.template.values import to_json
from engine.cli.times import local_rfc3339

Event = dict[str, Any]  # Any: JSON of the API
_GO_NAMES: Final = {"status": "Status", "id": "ID", "from": "From", "scope": "Scope", "time": "Time", "timeNano": "TimeNano"}  # fmt: skip


def one_line(event: Event) -> str:
    """Format an event as ``TIME TYPE ACTION ID (attribute=value, …)``."""
    actor = event["Actor"]
    attributes = actor.get("Attributes") or {}
    line = f"{local_rfc3339(event['timeNano'])} {event['Type']} {event['Action']} {actor['ID']}"
    if not attributes:
        return line
    return f"{line} ({', '.join(f'{name}={attributes[name]}' for name in sorted(attributes))})"


def _templated(template: Template, event: Event) -> str:
    fields = {name: event.get(json_name, "") for json_name, name in _GO_NAMES.items()}
    fields |= {name: event[name] for name in ("Type", "Action", "Actor")}
    try:
        return template.render(fields)
    except LookupError as error:
        raise Failure(error.args[0]) from None


def _events(invocation: Invocation) -> int:
    options = invocation.options
    wanted = options.text("format").strip()
    as_json = wanted in ("json", "{{json .}}")
    template = Template(wanted) if wanted and not as_json else None
    query = {
        "filters": encoded(options.many("filter")),
        "since": moment(options, "since"),
        "until": moment(options, "until"),
    }
    response = invocation.engine.request("GET", "/events", query)
    for event in map(json.loads, response.lines()):
        if as_json:
            output.line(to_json(event))
        else:
            output.line(_templated(template, event) if template else one_line(event))
    return 0


COMMANDS: Final = {
    "events": Command(
        "events [OPTIONS]",
        "Get real time events from the server",
        _events,
        (
            FILTER,
            text("format", "", "Format output: 'json' or a Go template"),
            text("since", "", "Show all events created since timestamp"),
            text("until", "", "Stream events until this timestamp"),
        ),
        most=0,
    )
}
