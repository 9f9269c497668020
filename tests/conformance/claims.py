"""List the claims that a description of an API makes, one by one, so that two descriptions can be
compared.

Reads OpenAPI 3.1, which the engine's own description is, and Swagger 2.0, which Docker's is. A
claim has a name and a kind::

    GET /containers/{}/json                               operation
    GET /containers/{}/json ?size                         boolean
    GET /containers/{}/json 404                           status
    GET /containers/{}/json 200 HostConfig.Binds.[]       string
    POST /containers/create body HostConfig.Memory        integer
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]  # Any: JSON
Claims = dict[str, str]

ANYTHING: Final = "anything"
_KINDS: Final = {"number": "integer"}
"""Docker's document says number where it means whole numbers."""
_VARIABLE: Final = re.compile(r"\{\w+\}")
_METHODS: Final = ("get", "head", "post", "put", "delete")


def claims(document: Schema) -> Claims:
    """Return all claims of a document, by name."""
    return dict(_Reader(document).claims())


class _Reader:
    """Reads one document, in either of the two languages."""

    def __init__(self, document: Schema) -> None:
        self._document = document

    def claims(self) -> Iterator[tuple[str, str]]:
        for path, methods in self._document["paths"].items():
            for method, operation in methods.items():
                if method in _METHODS:
                    name = f"{method.upper()} {_VARIABLE.sub('{}', path)}"
                    yield name, "operation"
                    yield from self._of_request(name, operation)
                    yield from self._of_answers(name, operation)

    def _of_request(self, name: str, operation: Schema) -> Iterator[tuple[str, str]]:
        for each in operation.get("parameters", ()):
            if each["in"] == "query":
                yield f"{name} ?{each['name']}", _kind(each.get("schema", each))
            elif each["in"] == "header":
                yield f"{name} header {each['name']}", _kind(each.get("schema", each))
            elif each["in"] == "body":
                yield from self._fields(f"{name} body", each["schema"])
        if "requestBody" in operation:
            yield from self._fields(f"{name} body", _content(operation["requestBody"]))

    def _of_answers(self, name: str, operation: Schema) -> Iterator[tuple[str, str]]:
        for status, answer in operation["responses"].items():
            yield f"{name} {status}", "status"
            if int(status) < 400:
                schema = answer.get("schema") or _content(answer)
                yield from self._fields(f"{name} {status}", schema)

    def _fields(
        self, name: str, schema: Schema, seen: tuple[str, ...] = ()
    ) -> Iterator[tuple[str, str]]:
        """Yield the fields below a schema; a shape inside itself is not entered a second time."""
        reference = schema.get("$ref", "")
        if reference in seen:
            return
        schema, seen = self._resolved(schema), (*seen, *((reference,) if reference else ()))
        for key, value in schema.get("properties", {}).items():
            yield from self._field(name, key, value, seen)
        values = schema.get("additionalProperties")
        if isinstance(values, Mapping) and values:
            yield from self._field(name, "*", values, seen)
        items = schema.get("prefixItems", [schema.get("items")])[0]
        if isinstance(items, Mapping):
            yield from self._field(name, "[]", items, seen)

    def _field(
        self, name: str, key: str, schema: Schema, seen: tuple[str, ...]
    ) -> Iterator[tuple[str, str]]:
        dot = " " if " " not in name.rsplit(" /", 1)[1].partition(" ")[2] else "."
        yield f"{name}{dot}{key}", _kind(self._resolved(schema))
        yield from self._fields(f"{name}{dot}{key}", schema, seen)

    def _resolved(self, schema: Schema) -> Schema:
        """Return a schema without references, compositions and the choice of null at its top."""
        while "$ref" in schema:
            found: Any = self._document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        if "anyOf" in schema:
            kinds = [each for each in schema["anyOf"] if each.get("type") != "null"]
            return self._resolved(kinds[0])
        if "allOf" in schema:
            parts = [*(self._resolved(each) for each in schema["allOf"]), schema]
            fields = {
                key: each for part in parts for key, each in part.get("properties", {}).items()
            }
            return {"type": "object", "properties": fields} if fields else parts[0]
        return schema


def _content(answer: Schema) -> Schema:
    """Return the schema of a body in OpenAPI 3.1, of whatever media type."""
    schemas = (each.get("schema", {}) for each in answer.get("content", {}).values())
    return next(schemas, {})


def _kind(schema: Schema) -> str:
    kind: str = schema.get("type", "object" if "properties" in schema else ANYTHING)
    return _KINDS.get(kind, kind)
