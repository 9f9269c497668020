"""Run ``inspect``, for now or for a point in the past."""

import json
from typing import Any, Final

from engine.cli import output
from engine.cli.command import Command, Invocation
from engine.cli.containers import parse_at
from engine.cli.engine import Engine
from engine.cli.failures import EngineRefused, Failure
from engine.cli.flags import switch, text
from engine.cli.template.evaluation import Template
from engine.cli.template.values import to_json

_PATHS: Final = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
}
_STATUS_NOT_FOUND: Final = 404
_STATUS_UNSUPPORTED: Final = 501


def _inspect(invocation: Invocation) -> int:
    options = invocation.options
    wanted = options.text("format")
    template = Template(wanted) if wanted and wanted != "json" else None
    found: list[Any] = []  # Any: JSON of the API
    failure: Failure | None = None
    for name in invocation.arguments:
        try:
            found.append(_look_up(invocation, name))
        except EngineRefused as refused:
            failure = refused
            break
        except Failure as missing:
            failure = missing
            break
    shown = _shown(found, template, as_json=wanted == "json")
    output.write(shown)
    if failure is not None:
        raise failure
    return 0


def _shown(found: list[Any], template: Template | None, *, as_json: bool) -> str:
    if template is not None:
        return "".join(f"{_rendered(template, thing)}\n" for thing in found)
    if as_json:
        return f"{to_json(found)}\n"
    return json.dumps(found, indent=4, ensure_ascii=False) + "\n"


def _rendered(template: Template, thing: object) -> str:
    try:
        return template.render(thing)
    except LookupError as error:
        output.line()
        raise Failure(f"template parsing error: {error.args[0]}") from None


def _look_up(invocation: Invocation, name: str) -> Any:
    engine, options = invocation.engine, invocation.options
    query = {"size": "1" if options.on("size") else ""}
    if options.given("at"):
        at = parse_at(options.text("at"))
        return engine.ask("GET", f"/shipslog/containers/{name}/json", {"at": at})
    kind = options.text("type")
    if not kind:
        return _look_everywhere(engine, name, query)
    if kind not in _PATHS:
        raise Failure(f'"{kind}" is not a valid value for --type')
    return engine.ask("GET", _PATHS[kind].format(name), query)


def _look_everywhere(engine: Engine, name: str, query: dict[str, str]) -> Any:
    for kind, path in _PATHS.items():
        try:
            return engine.ask("GET", path.format(name), query if kind == "container" else None)
        except EngineRefused as refused:
            if refused.status not in (_STATUS_NOT_FOUND, _STATUS_UNSUPPORTED):
                raise
    raise Failure(f"Error: No such object: {name}")


COMMANDS: Final = {
    "inspect": Command(
        "inspect [OPTIONS] NAME|ID [NAME|ID...]",
        "Return low-level information on containers, images and networks",
        _inspect,
        (
            text("at", "", "Show a container as it was at a moment, even when it is removed since"),
            text("format", "f", "Format output: 'json' or a Go template"),
            switch("size", "s", "Display total file sizes if the type is container"),
            text("type", "", "Only inspect objects of the given type"),
        ),
        least=1,
    )
}
