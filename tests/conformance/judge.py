"""Whether an answer is one that the document allows."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import jsonschema_rs

from tests.conformance import allowances
from tests.conformance.document import Document, Operation, document
from tests.conformance.schema import Schema

_OURS: Final = "/shipslog/"
_ERROR: Final[Schema] = {"$ref": "#/definitions/ErrorResponse"}
_OLDER: Final = re.compile(r"/v1\.([0-9]|[1-4][0-9])/")
"""Paths of versions whose answers may have fields that are gone since."""
_ANCIENT: Final = re.compile(r"/v(0?\.|1\.([01]?[0-9]|2[0-3])\b|0)")
"""Paths of versions whose clients want an error as plain text."""
_VALUE_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Given:
    """An answer as it was given."""

    method: str
    target: str
    status: int
    media_type: str
    body: bytes


def violations(given: Given) -> Iterator[str]:
    """What is wrong with it, in words; nothing for paths of our own."""
    document_ = document()
    operation = document_.find(given.method, given.target)
    where = f"{given.method} {given.target.partition('?')[0]} answered {given.status}"
    if operation is None:
        yield from _of_no_operation(given, where)
        return
    if given.status not in _statuses(operation):
        yield f"{where}: the document knows {sorted(operation.responses)} for {operation}"
        return
    if given.method == "HEAD" or given.status == 101:
        return
    if given.status in (204, 304):
        if given.body:
            yield f"{where}: a body, where there is none"
        return
    schema = _ERROR if given.status >= 400 else _schema(document_, operation, given.status)
    if schema and schema.get("format") != "binary":
        yield from _of_body(given, schema, where)


def _statuses(operation: Operation) -> set[int]:
    more = allowances.MORE_STATUSES.get(str(operation), {})
    return {*operation.responses, *allowances.STATUSES, *more}


def _of_no_operation(given: Given, where: str) -> Iterator[str]:
    if (
        _OURS in given.target or given.method == "OPTIONS"
    ):  # Docker answers 200 to that, whatever the path
        return
    if given.status < 400:
        yield f"{where}: the document knows no such path"
        return
    yield from _of_body(given, _ERROR, where)


def _schema(document_: Document, operation: Operation, status: int) -> Schema:
    name = allowances.BODIES.get(str(operation)) if status == 200 else None
    return {"$ref": f"#/definitions/{name}"} if name else operation.responses.get(status, {})


def _of_body(given: Given, schema: Schema, where: str) -> Iterator[str]:
    if schema.get("type") == "string":  # a plain text, such as ping's
        return
    if given.status >= 400 and _ANCIENT.match(given.target):
        return
    if given.media_type.partition(";")[0] != "application/json":
        yield f"{where}: {given.media_type or 'no media type'} instead of application/json"
        return
    try:
        values = list(_values(given.body))
    except ValueError as malformed:
        yield f"{where}: no JSON: {malformed}"
        return
    if not values and given.status != 200:
        yield f"{where}: no body, where {schema} is due"
    validator = _validator(json.dumps(schema), closed=not _OLDER.match(given.target))
    for value in values:
        for error in validator.iter_errors(value):
            yield f"{where}: {_pointer(error)}: {error.message[:_VALUE_SHOWN]}"


def _pointer(error: jsonschema_rs.ValidationError) -> str:
    return "/" + "/".join(map(str, error.instance_path))


def _values(body: bytes) -> Iterator[Any]:
    """One value, or those of a stream, one after another."""
    text = body.decode()
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        value, at = decoder.raw_decode(text, at)
        yield value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


@cache
def _validator(schema: str, *, closed: bool) -> jsonschema_rs.Validator:
    standalone = document().translator.standalone(json.loads(schema), closed=closed)
    return jsonschema_rs.Draft202012Validator(standalone)
