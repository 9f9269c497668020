"""Schemas of Swagger 2.0 as JSON Schema, read the way Docker's engine and its clients read them.

Stricter than the text in one point: a field that is not documented is an error. Wider in another: Go encodes an empty slice
or map as null, so wherever the document has an array or a map, null is as good. ``x-nullable`` means the same for the rest.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

Schema = dict[str, Any]  # Any: JSON

_RFC_3339: Final = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$"
_RANGES: Final = {
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint64": (0, (1 << 64) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint16": (0, (1 << 16) - 1),
    "uint8": (0, (1 << 8) - 1),
}
_COPIED: Final = (
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
)
_REFERENCE: Final = "#/definitions/"


class Translator:
    """Translates the schemas of one document; the result stands alone."""

    def __init__(
        self,
        definitions: Mapping[str, Schema],
        undocumented: Mapping[str, Mapping[str, Schema]],
        nullable: Mapping[str, Collection[str]],
    ) -> None:
        """``undocumented`` has, by a definition's name or title, fields which it lacks; ``nullable`` those that may be null."""
        self._definitions = definitions
        self._undocumented = undocumented
        self._nullable_fields = nullable
        self._closed = True

    def standalone(self, schema: Schema, *, closed: bool = True) -> Schema:
        """A schema together with all the definitions that it leads to; ``closed``: without unknown fields."""
        self._closed = closed
        translated = self.translate(schema)
        needed: dict[str, Schema] = {}
        waiting = list(_references(translated))
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed[name] = self.translate(self._definitions[name], name)
                waiting += _references(needed[name])
        return {**translated, "$defs": needed}

    def translate(self, schema: Schema, name: str = "") -> Schema:
        """One schema; ``name`` is that of its definition."""
        if "$ref" in schema:
            target: Schema = {"$ref": "#/$defs/" + schema["$ref"].removeprefix(_REFERENCE)}
            return {"anyOf": [target, {"type": "null"}]} if self._nullable(schema) else target
        if "allOf" in schema:
            return self.translate(self._merged(schema), name)
        name = name or schema.get("title", "")
        made: Schema = {key: schema[key] for key in _COPIED if key in schema}
        kind = schema.get("type", "object" if "properties" in schema else None)
        if kind is not None:
            made["type"] = [kind, "null"] if self._nullable(schema) else kind
        if "enum" in made and self._nullable(schema):
            made["enum"] = [*made["enum"], None]
        made.update(self._by_format(schema.get("format", "")))
        if kind == "array":
            made["items"] = self.translate(schema.get("items", {}))
        if kind == "object":
            made.update(self._of_an_object(schema, name))
        return made

    def _of_an_object(self, schema: Schema, name: str) -> Schema:
        values = schema.get("additionalProperties")
        properties = {**schema.get("properties", {}), **self._undocumented.get(name, {})}
        for key in self._nullable_fields.get(name, ()):
            properties[key] = {**properties[key], "x-nullable": True}
        made: Schema = {}
        if properties:
            made["properties"] = {key: self.translate(value) for key, value in properties.items()}
            made["additionalProperties"] = not self._closed
        if isinstance(values, dict):
            made["additionalProperties"] = self.translate(values)
        if "required" in schema:
            made["required"] = schema["required"]
        return made

    def _merged(self, schema: Schema) -> Schema:
        """``allOf`` as one object: what is composed of two is not closed by either."""
        parts = [self.resolved(part) for part in schema["allOf"]]
        return {
            "type": "object",
            "properties": {
                key: value for part in parts for key, value in part.get("properties", {}).items()
            },
            "required": [key for part in parts for key in part.get("required", ())],
        }

    def resolved(self, schema: Schema) -> Schema:
        """A schema without references or compositions at its top."""
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].removeprefix(_REFERENCE)]
        return self._merged(schema) if "allOf" in schema else schema

    def _nullable(self, schema: Schema) -> bool:
        """Whether null is an answer: said so, or an array or map."""
        seen = schema
        while not seen.get("x-nullable"):
            if "$ref" not in seen:
                return seen.get("type") == "array" or _is_map(seen)
            seen = self._definitions[seen["$ref"].removeprefix(_REFERENCE)]
        return True

    def _by_format(self, name: str) -> Schema:
        if name in _RANGES:
            low, high = _RANGES[name]
            return {"minimum": low, "maximum": high}
        if name.lower().replace("-", "") == "datetime":
            return {"pattern": _RFC_3339}
        return {}


def _is_map(schema: Schema) -> bool:
    return schema.get("type") == "object" and "properties" not in schema


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.removeprefix("#/$defs/")
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)
