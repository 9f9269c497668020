"""Find the operation of a request in the engine's own description of its API, and what its answer
may look like.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast
from urllib.parse import unquote

import msgspec

from engine.api.application import routes
from engine.api.http.router import Route
from engine.api.openapi.description import describe
from engine.service.engine import Service

Schema = dict[str, Any]  # Any: JSON

REFUSED: Final[Schema] = {"$ref": "#/components/schemas/Refused"}
_ORIGIN: Final = re.compile(r"^\w+://[^/]*")
"""Scheme and authority, with which a target may begin: RFC 9112 section 3.2.2."""
_SLASHES: Final = re.compile("//+")
_VERSION: Final = re.compile(r"^/v1\.\d+(?=/)")
_COMPONENT: Final = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Operation:
    """A method and a path."""

    method: str
    template: str
    parameters: tuple[Schema, ...]
    responses: dict[int, dict[str, Schema]]
    """The schemas of the body, by status and media type; no media types for no body."""
    body: Schema | None
    """The schema of a JSON request body."""

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


class _NoService:
    """Replaces a service where only routes are needed."""

    def __getattr__(self, name: str) -> None:
        return None


class Document:
    """The operations of a description, and the schemas in it."""

    def __init__(self, described: tuple[Route, ...]) -> None:
        self.routes = described
        encoded = msgspec.json.encode(describe(described))
        self.description: Schema = msgspec.json.decode(encoded)
        self.schemas: dict[str, Schema] = self.description["components"]["schemas"]
        self.operations = tuple(_operations(self.description))
        by_name = {(each.method, each.template): each for each in self.operations}
        self._patterns = [
            (route.method, _pattern(route.template), by_name[route.method, route.template])
            for route in sorted(described, key=lambda each: "{" in each.template)
        ]

    def resolved(self, schema: Schema) -> Schema:
        """Return a schema without a reference at its top; of several alternatives, the first that
        isn't null.
        """
        while True:
            if "anyOf" in schema:
                schema = next(each for each in schema["anyOf"] if each.get("type") != "null")
            elif "$ref" in schema:
                schema = self.schemas[schema["$ref"].removeprefix(_COMPONENT)]
            else:
                return schema

    def find(self, method: str, target: str) -> Operation | None:
        """Return the operation that a request's target means; None if there is none with that path
        and method.
        """
        path = unquote(_ORIGIN.sub("", target.partition("?")[0], count=1))
        path = _VERSION.sub("", _SLASHES.sub("/", path), count=1)
        for known, pattern, operation in self._patterns:
            if known == method and pattern.fullmatch(path):
                return operation
        return None

    def closed(self, schema: Schema) -> Schema:
        """Return a self-contained schema, in which objects have no fields but those that are
        described.
        """
        components = {name: _closed(each) for name, each in self.schemas.items()}
        return {**_closed(schema), "components": {"schemas": components}}


@cache
def document() -> Document:
    """Return the engine's document."""
    return Document(routes(cast("Service", _NoService())))


def _closed(schema: Any) -> Any:  # Any: JSON
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed


def _operations(description: Schema) -> Iterator[Operation]:
    for template, methods in description["paths"].items():
        for method, described in methods.items():
            content = described.get("requestBody", {}).get("content", {})
            yield Operation(
                method.upper(),
                template,
                tuple(described.get("parameters", ())),
                {
                    int(status): {
                        name: each.get("schema", {})
                        for name, each in response.get("content", {}).items()
                    }
                    for status, response in described["responses"].items()
                },
                content.get("application/json", {}).get("schema"),
            )


def _pattern(template: str) -> re.Pattern[str]:
    """Return a pattern for a path. Names contain slashes: a variable part matches one or more
    segments.
    """
    return re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(template)), re.DOTALL)
