"""Decode JSON bodies, and refuse bad ones with Docker's messages."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec

from engine.api.http.requests import Request
from engine.errors import InvalidRequest

T = TypeVar("T")

Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Json = dict[str, Any]  # Any: what Docker's JSON says, built here and encoded at once

_MISMATCH: Final = re.compile(
    r"Expected `(?P<wanted>.+?)`, got `(?P<found>.+?)`(?: - at `(?P<path>.+)`)?"
)
_FOUND: Final[Mapping[str, str]] = {
    "int": "number",
    "float": "number",
    "str": "string",
    "bool": "bool",
    "object": "object",
    "array": "array",
    "null": "null",
}
_WANTED: Final[Mapping[str, str]] = {
    "str": "string",
    "int": "int64",
    "float": "float64",
    "bool": "bool",
    "array": "[]string",
}


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What a client sends. Unknown fields are ignored; absent and null mean the same: None."""


async def read_json(request: Request, kind: type[T]) -> T:
    """Decode the request's body as one JSON value; an empty body is an empty object.

    Raises:
        InvalidRequest: not declared as JSON, not JSON, or JSON of another shape.
    """
    body = await request.body.read()
    if body or "content-type" in request.headers:
        _check_media_type(request.headers.get("content-type", ""))
    return decode_json(body or b"{}", kind)


def decode_json(body: bytes, kind: type[T]) -> T:
    """Decode one JSON value.

    Raises:
        InvalidRequest: not JSON, or JSON of another shape.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as mismatch:
        raise InvalidRequest(f"invalid JSON: {_in_gos_words(str(mismatch))}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as malformed:
        raise InvalidRequest(f"invalid JSON: {_reason(body, malformed)}") from None


def _check_media_type(media_type: str) -> None:
    if media_type.partition(";")[0].strip().lower() == "application/json":
        return
    if not media_type:
        raise InvalidRequest("malformed Content-Type header (): mime: no media type")
    raise InvalidRequest(
        f"unsupported Content-Type header ({media_type}): must be 'application/json'"
    )


def _reason(body: bytes, malformed: Exception) -> str:
    if not body.strip():
        return "got EOF while reading request body"
    return "unexpected EOF" if "truncated" in str(malformed) else str(malformed)


def _in_gos_words(mismatch: str) -> str:
    """Turn ``Expected `str`, got `int` - at `$.Image``` into the message that Docker's clients
    know.
    """
    match = _MISMATCH.fullmatch(mismatch)
    if match is None:
        return mismatch
    wanted = match["wanted"].removesuffix(" | null").partition(" | ")[0]
    path = (match["path"] or "$").removeprefix("$").removeprefix(".")
    field = f" into Go struct field {path}" if path else " into Go value"
    return f"json: cannot unmarshal {_FOUND.get(match['found'], match['found'])}{field} of type {_WANTED.get(wanted, wanted)}"
