"""Describe what a route takes and answers, for the OpenAPI document.

A handler module writes them where it registers its routes; ``engine.api.openapi`` makes the
description of them. A shape is a type that msgspec knows: a Struct for what a client sends, a
TypedDict for what it gets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Shape = Any  # Any: a type, a generic alias or a union; the typing module has no one type for them
Kind = Literal["string", "boolean", "integer", "array"]

JSON_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the query."""

    name: str
    kind: Kind
    meaning: str = ""
    required: bool = False


def text(name: str, meaning: str = "", *, required: bool = False) -> Parameter:
    """Describe a parameter that is read as it is."""
    return Parameter(name, "string", meaning, required)


def texts(name: str, meaning: str = "") -> Parameter:
    """Describe a parameter that may occur many times."""
    return Parameter(name, "array", meaning)


def flag(name: str, meaning: str = "") -> Parameter:
    """Describe a parameter that is true or false."""
    return Parameter(name, "boolean", meaning)


def integer(name: str, meaning: str = "", *, required: bool = False) -> Parameter:
    """Describe a parameter that is a decimal number."""
    return Parameter(name, "integer", meaning, required)


def filters(*names: str) -> Parameter:
    """Describe the parameter ``filters``: a JSON object of lists of texts, by these names."""
    return Parameter("filters", "string", f"A JSON object of lists: {', '.join(sorted(names))}.")


@dataclass(frozen=True, slots=True)
class Bytes:
    """A body that is not JSON: an archive, a stream, a text."""

    media_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """A body of any number of JSON values in a row."""

    shape: Shape
    media_type: str = JSON_TYPE


@dataclass(frozen=True, slots=True)
class Header:
    """One header of an answer."""

    name: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one method of one path accepts and answers."""

    summary: str
    """One sentence of plain English."""
    query: tuple[Parameter, ...] = ()
    body: Shape | Bytes | None = None
    answers: Mapping[int, Shape | Bytes | Lines | None] = field(default_factory=dict)
    """The bodies of successful answers, by status; None is no body."""
    headers: tuple[Header, ...] = ()
    """The headers of these answers besides those of every answer."""
    refusals: tuple[int, ...] = ()
    """The statuses of its errors, besides those that every operation may answer with."""
