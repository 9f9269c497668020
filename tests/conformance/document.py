"""The document: which operation a request asks for, and what the answer may look like."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import yaml

from tests.conformance import allowances
from tests.conformance.schema import Schema, Translator

PATH: Final = Path(__file__).parents[1] / "data" / "docker-engine-api-v1.51.yaml"
_ORIGIN: Final = re.compile(r"^\w+://[^/]*")
"""Scheme and authority, which a target may begin with: RFC 9112 section 3.2.2."""
_SLASHES: Final = re.compile("//+")
_VERSION: Final = re.compile(r"^/v1\.\d+(?=/)")


@dataclass(frozen=True, slots=True)
class Operation:
    """A method and a path."""

    method: str
    template: str
    parameters: tuple[Schema, ...]
    responses: dict[int, Schema]
    """By status; the schema of the body, ``{}`` for none."""
    produces: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


class Document:
    """Operations, and a translator for the schemas in them."""

    def __init__(self, text: str) -> None:
        raw = yaml.load(text, yaml.CSafeLoader)
        self.definitions: dict[str, Schema] = raw["definitions"]
        self.translator = Translator(self.definitions, allowances.FIELDS, allowances.NULLABLE)
        self.operations = tuple(_operations(raw))
        self._patterns = [
            (operation.method, _pattern(operation.template), operation)
            for operation in sorted(self.operations, key=lambda each: each.template.count("{"))
        ]

    def resolved(self, schema: Schema) -> Schema:
        """A schema as the document has it, without references or compositions at its top."""
        return self.translator.resolved(schema)

    def find(self, method: str, target: str) -> Operation | None:
        """The operation that a request's target means; None when there is none of that path and method."""
        path = unquote(_ORIGIN.sub("", target.partition("?")[0], count=1))
        path = _VERSION.sub("", _SLASHES.sub("/", path), count=1)
        for known, pattern, operation in self._patterns:
            if known == method and pattern.fullmatch(path):
                return operation
        return None


@cache
def document() -> Document:
    """Moby's, as vendored."""
    return Document(PATH.read_text())


def _operations(raw: Any) -> Iterator[Operation]:
    for template, methods in raw["paths"].items():
        for method, described in methods.items():
            yield Operation(
                method.upper(),
                template,
                tuple(described.get("parameters", ())),
                {
                    int(status): response.get("schema", {})
                    for status, response in described["responses"].items()
                },
                tuple(described.get("produces", raw["produces"])),
            )


def _pattern(template: str) -> re.Pattern[str]:
    """Names have slashes: a variable part matches one or more segments."""
    return re.compile(re.sub(r"\\{\w+\\}", ".+", re.escape(template)), re.DOTALL)
