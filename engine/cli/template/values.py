"""Format JSON data as Go formats its values.

Docker's client decodes an answer into structs and maps; a missing field of a struct is an error, a
missing key of a map is ``<no value>``. JSON has one kind of object for both, so :class:`GoMap`
marks those that are maps in Go.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

NO_VALUE: Final = "<no value>"
_HTML: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})

_MAPS: Final = frozenset(
    {
        "Annotations", "Attributes", "Config.Config", "Data", "Details", "DriverOpts", "ExposedPorts", "Labels",
        "Networks", "Options", "PortBindings", "Ports", "StorageOpt", "Sysctls", "Tmpfs", "Volumes", "data",
    }
)  # fmt: skip
"""Fields of the API that are maps in Go; all other objects are structs."""


class GoMap(dict[str, Any]):
    """An object whose keys are data: printed as ``map[key:value]``."""


class Fields:
    """A struct whose fields are computed when asked for: one row of a table.

    A column that takes an argument, as ``{{.Label "x"}}``, is in ``methods``.
    """

    def __init__(
        self,
        go_type: str,
        columns: Mapping[str, Callable[[], Any]],
        methods: Mapping[str, Callable[[str], Any]] | None = None,
    ) -> None:
        self.go_type = go_type
        self.columns = columns
        self.methods = methods or {}

    def everything(self) -> dict[str, Any]:
        """Return all columns, in the order in which Go's json package writes them."""
        return {name: self.columns[name]() for name in sorted(self.columns)}


def field(holder: object, name: str) -> Any:  # Any: template data is whatever JSON holds
    """Return ``holder.name``.

    Raises:
        LookupError: there is no such field; with Go's message.
    """
    if isinstance(holder, Fields):
        if name in holder.columns:
            return holder.columns[name]()
        if name in holder.methods:
            return holder.methods[name]
        raise LookupError(f"can't evaluate field {name} in type {holder.go_type}")
    if isinstance(holder, GoMap):
        return holder.get(name)
    if isinstance(holder, dict):
        return _struct_field(holder, name)
    if holder is None:
        raise LookupError(f"nil data; no entry for key {name!r}".replace("'", '"'))
    raise LookupError(f"can't evaluate field {name} in type {go_type(holder)}")


def _struct_field(holder: dict[str, Any], name: str) -> Any:
    if name not in holder:
        # Go's field names differ from JSON's in case only: ID and Id, NanoCPUs and NanoCpus.
        alike = [key for key in holder if key.lower() == name.lower()]
        if len(alike) != 1:
            raise LookupError(f'map has no entry for key "{name}"')
        name = alike[0]
    value = holder[name]
    if name in _MAPS and isinstance(value, dict):
        return GoMap(value)
    return value


def go_type(value: object) -> str:
    """Return Go's name for a value's type, for messages."""
    match value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float64"
        case str():
            return "string"
        case list():
            return "[]interface {}"
        case _:
            return "map[string]interface {}"


def truth(value: object) -> bool:
    """Return whether ``if`` takes the value for true: everything but zero and empty values."""
    return bool(value)


def shown(value: object) -> str:
    """Format a value as ``{{value}}`` prints it."""
    return NO_VALUE if value is None else nested(value)


def nested(value: object) -> str:
    """Format a value as fmt's ``%v`` prints it inside another value."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case float():
            return f"{value:g}"
        case list() | tuple():
            return f"[{' '.join(map(nested, value))}]"
        case GoMap():
            return f"map[{' '.join(f'{key}:{nested(value[key])}' for key in sorted(value))}]"
        case dict():
            return f"{{{' '.join(map(nested, value.values()))}}}"
        case Fields():
            return nested(value.everything())
        case _:
            return str(value)


def to_json(value: object) -> str:
    """Encode as Go's encoding/json does: compact, with ``<``, ``>`` and ``&`` escaped."""
    plain = value.everything() if isinstance(value, Fields) else value
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).translate(_HTML)
