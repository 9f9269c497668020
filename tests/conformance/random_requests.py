"""Generate requests of any shape: some as the API is described, most of them not."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, quote_from_bytes

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.conformance.document import Operation, Schema, document

T = TypeVar("T")

EXEC: Final = "the-exec"
"""Stands for an exec that has not been started: its ID is known when the request is sent."""
NAMES: Final = ("idle", "busy", "busybox", EXEC, "bridge", "none", "nosuch")
"""Names for requests: two containers, an image, an exec, two networks, and one that does not
exist.
"""
_FITTING: Final = {
    "containers": ("idle", "busy"),
    "images": ("busybox", "busybox:latest"),
    "exec": (EXEC,),
    "networks": ("bridge", "none"),
}
"""Names of existing objects, by the first part of a path."""
_TEXTS: Final = (
    "", " ", "/", ".", "..", "../../etc/passwd", "a/b:c@d", "\x00", "a\x00b", "\r\nX-Injected: 1", "\ud800", "\U0001f433", "é" * 200,
    "%", "%2e%2e", "%00", "x" * 70_000, "null", "true", "-1", "1e999", "0x10", "9" * 30, "1.5", "{}", "[]", '{"label":["a"]}',
    "sha256:" + "0" * 64, "busybox@sha256:" + "f" * 64, "1970-01-01T00:00:00Z", "99999-01-01T00:00:00Z", "10m", "99999999999999h",
)  # fmt: skip
_NUMBERS: Final = (
    0, 1, -1, 2, 255, 65536, -(1 << 31), 1 << 31, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, -(1 << 63) - 1, 1 << 64, 10**400, 0.5, -0.0, 1e308,
)  # fmt: skip
_FILTERS: Final = (
    '{"label":["a=b"]}', '{"status":["running"]}', '{"status":["colour"]}', '{"id":["("]}', '{"name":["["]}', '{"name":["(a+)+$"]}',
    '{"until":["x"]}', '{"until":["99999999999999999999h"]}', '{"until":["-1"]}', '{"dangling":["maybe"]}', '{"exited":["x"]}',
    '{"exited":["99999999999999999999999"]}', '{"before":["nosuch"]}', '{"publish":["x/y/z"]}', '{"expose":["1-"]}', '{"health":["x"]}',
    '{"is-task":["2"]}', '{"nosuch":["x"]}', '{"label":{"a":true}}', '{"label":{"a":"b"}}', '{"label":"a"}', "{", "[]", "null", "1", '{"a":null}',
    '{"type":["container"],"event":["start"]}', '{"volume":["/"]}', '{"network":["bridge"]}', '{"ancestor":["busybox","nosuch"]}', '{"reference":["["]}',
)  # fmt: skip
_RAW_BODIES: Final = (
    b"{", b"[", b"nonsense", b"null", b"[]", b'""', b"0", b"true", b"{}{}", b'{"Image":"busybox"}trailing', b"\xff\xfe", b'{"Image": "\xff"}', b"\x00",
    b'{"Image":"busybox","Image":7}', b'{"Image":"busybox","image":7}', b'{"Image":"busybox","Memory":NaN}', b'{"Cmd":["\\ud800"],"Image":"busybox"}',
    b"[" * 100_000, b'{"HostConfig":' * 10_000, b'{"a":' * 500 + b"1" + b"}" * 500, b" " * 65_536, b'{"StopTimeout":' + b"9" * 5000 + b"}", b"\xef\xbb\xbf{}",
)  # fmt: skip
_MEDIA_TYPES: Final = (
    "application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/x-tar", "text/plain", "application/x-www-form-urlencoded",
    "", "nonsense", "multipart/form-data", "application/json, text/plain", "\xe9",
)  # fmt: skip
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW")

_VERSIONS: Final = ("/v1.99", "/v0", "/v.", "/v1.51.3", "/v1.23", "/v" + "9" * 5000, "/vx")
_OF_SWARMS_AND_PLUGINS: Final = re.compile(r"/(swarm|services|tasks|nodes|secrets|configs|plugins)")
_OF_OTHERS: Final = [
    each for each in document().operations if _OF_SWARMS_AND_PLUGINS.match(each.template)
]
_OURS: Final = [each for each in document().operations if each not in _OF_OTHERS]

texts = st.sampled_from(_TEXTS) | st.text(max_size=40)
scalars: SearchStrategy[Any] = st.none() | st.booleans() | st.sampled_from(_NUMBERS) | texts
anything: SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@dataclass(frozen=True, slots=True)
class AnyRequest:
    """A request, and what it was made from."""

    operation: Operation
    method: str
    target: bytes
    headers: tuple[str, ...]
    body: bytes


@st.composite
def any_request(draw: DrawFn) -> AnyRequest:
    """Generate a request of any operation: with its own method or another, with names, a query and
    a body that may fit or not.
    """
    operation = draw(mostly(st.sampled_from(_OURS), st.sampled_from(_OF_OTHERS)))
    method = draw(mostly(st.just(operation.method), st.sampled_from(_METHODS)))
    path = operation.template
    for parameter in operation.parameters:
        if parameter["in"] == "path":
            fitting = _FITTING.get(path.split("/")[1], NAMES)
            name = draw(mostly(st.sampled_from(fitting), st.sampled_from(NAMES) | texts))
            path = path.replace(f"{{{parameter['name']}}}", _quoted(name, safe="/:@"))
    version = draw(
        mostly(st.sampled_from(("", "/v1.24", "/v1.41", "/v1.51")), st.sampled_from(_VERSIONS))
    )
    query = draw(_query(operation))
    body, media_type = draw(_body(operation))
    headers = draw(mostly(st.just((f"Content-Type: {media_type}",)), st.just(())))
    return AnyRequest(operation, method, f"{version}{path}{query}".encode(), headers, body)


def mostly(likely: SearchStrategy[T], other: SearchStrategy[T]) -> SearchStrategy[T]:
    """Choose the first strategy, but the other one time in eight."""
    return st.integers(0, 7).flatmap(lambda drawn: other if drawn == 7 else likely)


@st.composite
def _query(draw: DrawFn, operation: Operation) -> str:
    known = [each for each in operation.parameters if each["in"] == "query"]
    chosen = draw(st.lists(st.sampled_from(known), max_size=4)) if known else []
    pairs = [(each["name"], draw(_parameter(each))) for each in chosen]
    pairs += draw(mostly(st.just([]), st.lists(st.tuples(texts, texts), max_size=1)))
    return "?" + "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)


def _parameter(parameter: Schema) -> SearchStrategy[str]:
    if parameter["name"] == "filters":
        return mostly(st.sampled_from(_FILTERS), texts)
    fitting = {
        "boolean": st.sampled_from(("0", "1", "true", "false")),
        "integer": st.sampled_from(("0", "1", "10", "-1")),
    }.get(parameter["schema"]["type"], st.sampled_from((*NAMES, "x")))
    return mostly(fitting, texts)


@st.composite
def _body(draw: DrawFn, operation: Operation) -> tuple[bytes, str]:
    schema = operation.body
    kind = (
        draw(st.sampled_from(("described", "described", "raw", "none")))
        if schema is not None
        else draw(st.sampled_from(("none", "none", "raw")))
    )
    media_type = draw(mostly(st.just("application/json"), st.sampled_from(_MEDIA_TYPES)))
    if schema is not None and kind == "described":
        return encoded(draw(like(schema))), media_type
    return (draw(st.sampled_from(_RAW_BODIES)) if kind == "raw" else b""), media_type


@st.composite
def like(draw: DrawFn, schema: Schema, depth: int = 0) -> Any:
    """Generate a value of a schema; one in eight of its parts is something else."""
    if depth > 6 or draw(st.integers(0, 7)) == 0:
        return draw(anything)
    schema = document().resolved(schema)
    match schema.get("type"):
        case "object":
            return draw(_object_like(schema, depth))
        case "array" if "prefixItems" in schema:
            return [draw(like(each, depth + 1)) for each in schema["prefixItems"]]
        case "array":
            return draw(st.lists(like(schema["items"], depth + 1), max_size=2))
        case "string":
            return draw(st.sampled_from(schema.get("enum", NAMES)) | texts)
        case "integer":
            return draw(st.sampled_from(_NUMBERS) | st.integers(0, 100))
        case "boolean":
            return draw(st.booleans())
        case _:
            return draw(anything)


@st.composite
def _object_like(draw: DrawFn, schema: Schema, depth: int) -> dict[str, Any]:
    fields = schema.get("properties", {})
    values = schema.get("additionalProperties")
    if not fields:
        kind = like(values, depth + 1) if isinstance(values, dict) else anything
        return draw(st.dictionaries(st.sampled_from(NAMES) | texts, kind, max_size=2))
    names = draw(st.lists(st.sampled_from(sorted(fields)), max_size=5, unique=True))
    made = {name: draw(like(fields[name], depth + 1)) for name in names}
    if draw(st.integers(0, 9)) == 0:
        made[draw(texts)] = draw(anything)
    if "Image" in fields and draw(st.booleans()):
        made["Image"] = "busybox"
    return made


def encoded(value: Any) -> bytes:
    """Encode as JSON; values that JSON lacks are written as Python's encoder does, which is wrong
    on purpose.
    """
    return json.dumps(value).encode()


def _quoted(text: str, safe: str = "") -> str:
    try:
        return quote(text, safe)
    except UnicodeEncodeError:
        return quote_from_bytes(text.encode("utf-8", "surrogatepass"), safe)
