"""Check whether an answer is allowed by the engine's own description."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import jsonschema_rs

from tests.conformance.document import REFUSED, Schema, document

_ANCIENT: Final = re.compile(r"/v(0?\.|1\.([01]?[0-9]|2[0-3])\b|0)")
"""Paths of versions whose clients expect an error as plain text."""
_JSON_TYPES: Final = ("application/json", "application/x-ndjson")
_VALUE_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Given:
    """A recorded answer."""

    method: str
    target: str
    status: int
    media_type: str
    body: bytes
    looked_up: tuple[str, ...] = ()
    """Names of the query parameters that the handler looked up."""


def violations(given: Given) -> Iterator[str]:
    """Return what is wrong with it, in words."""
    operation = document().find(given.method, given.target)
    where = f"{given.method} {given.target.partition('?')[0]} answered {given.status}"
    if operation is None:
        yield from _of_no_operation(given, where)
        return
    described = {each["name"] for each in operation.parameters if each["in"] == "query"}
    for name in sorted(set(given.looked_up) - described):
        yield f"{operation} reads ?{name} of the query, which is not described"
    if given.status not in operation.responses:
        yield f"{where}: {operation} is described with {sorted(operation.responses)}"
        return
    content = operation.responses[given.status]
    if given.method == "HEAD" or given.status == 101:
        return
    if not content:
        if given.body:
            yield f"{where}: a body, where there is none"
        return
    if given.status >= 400 and _ANCIENT.match(given.target):
        return
    media_type = given.media_type.partition(";")[0]
    if not media_type and not given.body and not any(content.values()):
        return  # an answer may have no bytes: an exec in the background
    if media_type not in content:
        yield f"{where}: {media_type or 'no media type'} instead of {' or '.join(content)}"
        return
    if media_type in _JSON_TYPES:
        yield from _of_body(given, content[media_type], where)


def _of_no_operation(given: Given, where: str) -> Iterator[str]:
    if given.method == "OPTIONS":  # Docker answers 200 to that, whatever the path
        return
    if given.status < 400:
        yield f"{where}: no such path is described"
        return
    if _ANCIENT.match(given.target):
        return
    yield from _of_body(given, REFUSED, where)


def _of_body(given: Given, schema: Schema, where: str) -> Iterator[str]:
    try:
        values = list(_values(given.body))
    except ValueError as malformed:
        yield f"{where}: no JSON: {malformed}"
        return
    if not values and given.status != 200:
        yield f"{where}: no body, where {schema} is due"
    validator = _validator(json.dumps(schema))
    for value in values:
        for error in validator.iter_errors(value):
            yield f"{where}: {_pointer(error)}: {error.message[:_VALUE_SHOWN]}"


def _pointer(error: jsonschema_rs.ValidationError) -> str:
    return "/" + "/".join(map(str, error.instance_path))


def _values(body: bytes) -> Iterator[Any]:
    """Yield one value, or those of a stream, one after another."""
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
def _validator(schema: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator(document().closed(json.loads(schema)))
