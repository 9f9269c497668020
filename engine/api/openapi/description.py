"""Make the OpenAPI 3.1 document from routes: https://spec.openapis.org/oas/v3.1.0."""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from engine.api.answers import Refused
from engine.api.http.json_bodies import Json
from engine.api.http.operations import JSON_TYPE, Bytes, Header, Lines, Operation, Parameter, Shape
from engine.api.http.router import VERSION_MAX, VERSION_MIN, Route, version_text

ALWAYS_REFUSED: Final = (400, 500, 501, 503)
"""Statuses of errors that any operation may answer with: a malformed request, a fault of ours, what
is not supported, and a log that can't be written."""
EVERY_HEAD: Final = (
    Header("Api-Version", "The newest version of the API that the engine speaks."),
    Header("Docker-Experimental", "Whether features are on that may still change: always false."),
    Header("Ostype", "The operating system of the engine's containers: always linux."),
    Header("Server", "Which engine answers, with its version."),
    Header("X-Request-Id", "The request's number, by which the log names what came of it."),
)
"""The headers of every answer, except those after which the connection is no longer HTTP."""
_COMPONENT: Final = "#/components/schemas/{name}"
_HEADER: Final = "#/components/headers/{name}"
_VARIABLE: Final = re.compile(r"\{(\w+)\}")
_ASKED: Final = re.compile(r"(Wire|Body)$")


def describe(routes: Iterable[Route]) -> Json:
    """Return the whole document."""
    listed = tuple(routes)
    schemas = _Schemas(listed)
    paths: dict[str, Json] = {}
    for route in listed:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Shipslog",
            "summary": "The Docker Engine API as this engine speaks it, and the paths of its log.",
            "description": (
                "Each path may begin with a version of the API, from"
                f" /v{version_text(VERSION_MIN)} to /v{version_text(VERSION_MAX)};"
                " without one the newest is meant. A name in a path may have slashes."
            ),
            "version": version_text(VERSION_MAX),
        },
        "paths": paths,
        "components": {
            "headers": {each.name: _header(each) for each in EVERY_HEAD},
            "schemas": schemas.components,
        },
    }


class _Schemas:
    """Collects the JSON Schemas of all shapes that routes name."""

    def __init__(self, routes: Iterable[Route]) -> None:
        shapes = [Refused, *(shape for route in routes for shape in _shapes(route.operation))]
        found, components = msgspec.json.schema_components(shapes, ref_template=_COMPONENT)
        self._found = [
            (shape, _renamed(schema)) for shape, schema in zip(shapes, found, strict=True)
        ]
        assert len({*map(_asked, components)}) == len(components), "two shapes have one name"
        self.components = {_asked(name): _renamed(each) for name, each in components.items()}

    def of(self, shape: Shape) -> Json:
        """Return the schema of one shape."""
        return next(schema for known, schema in self._found if known == shape)


def _shapes(operation: Operation) -> Iterator[Shape]:
    for content in (operation.body, *operation.answers.values()):
        if isinstance(content, Lines):
            yield content.shape
        elif content is not None and not isinstance(content, Bytes):
            yield content


def _asked(name: str) -> str:
    """Return the name of a shape that a client sends; the names of answers' shapes stay as they
    are.
    """
    return _ASKED.sub("Input", name)


def _renamed(schema: Any) -> Any:  # Any: JSON
    if isinstance(schema, Mapping):
        return {
            key: _asked(value) if key == "$ref" else _renamed(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [_renamed(each) for each in schema] if isinstance(schema, list | tuple) else schema


def _operation(route: Route, schemas: _Schemas) -> Json:
    operation = route.operation
    described: Json = {
        "operationId": _identity(route),
        "summary": operation.summary,
        "responses": {
            **{
                str(status): _answer(status, content, schemas, operation.headers)
                for status, content in operation.answers.items()
            },
            **{
                str(status): _refusal(status, route.method, schemas)
                for status in sorted({*ALWAYS_REFUSED, *operation.refusals})
            },
        },
    }
    if parameters := [*_path_parameters(route.template), *map(_parameter, operation.query)]:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {"content": _content(operation.body, schemas)}
    return described


def _identity(route: Route) -> str:
    """Return an operation's ID: ``get-containers-name-json``."""
    return "-".join((route.method.lower(), *re.findall(r"\w+", route.template)))


def _path_parameters(template: str) -> Iterator[Json]:
    for name in _VARIABLE.findall(template):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _parameter(parameter: Parameter) -> Json:
    schema: Json = {"type": parameter.kind}
    if parameter.kind == "array":
        schema["items"] = {"type": "string"}
    described: Json = {"name": parameter.name, "in": "query", "schema": schema}
    if parameter.required:
        described["required"] = True
    if parameter.meaning:
        described["description"] = parameter.meaning
    return described


def _answer(
    status: int,
    content: Shape | Bytes | Lines | None,
    schemas: _Schemas,
    headers: Iterable[Header] = (),
) -> Json:
    described: Json = {"description": HTTPStatus(status).phrase}
    if status != HTTPStatus.SWITCHING_PROTOCOLS:
        described["headers"] = {
            **{each.name: {"$ref": _HEADER.format(name=each.name)} for each in EVERY_HEAD},
            **{each.name: _header(each) for each in headers},
        }
    if content is not None:
        described["content"] = _content(content, schemas)
    return described


def _header(header: Header) -> Json:
    return {"description": header.meaning, "schema": {"type": "string"}}


def _content(content: Shape | Bytes | Lines, schemas: _Schemas) -> Json:
    if isinstance(content, Bytes):
        return {each.partition(";")[0]: {} for each in content.media_types}
    if isinstance(content, Lines):
        return {content.media_type: {"schema": schemas.of(content.shape)}}
    return {JSON_TYPE: {"schema": schemas.of(content)}}


def _refusal(status: int, method: str, schemas: _Schemas) -> Json:
    return _answer(status, None if method == "HEAD" else Refused, schemas)
