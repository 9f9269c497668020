"""Parse Docker's filters: a JSON map in the query, ``{"status": ["running"]}`` or ``{"status":
{"running": true}}``.

Values of one name are alternatives, different names must all match; labels must match one and all.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Final

import msgspec

from engine.errors import InvalidRequest

_PATTERN_LENGTH_MAX: Final = 256
_REPEATED_GROUP: Final = re.compile(r"\)[*+{]")
"""Patterns for which a backtracking matcher may run for ever; Go's, which clients expect, does not
backtrack."""

_BOOLEANS: Final[Mapping[str, bool]] = {"1": True, "true": True, "0": False, "false": False}


class Filters:
    """The filters of a request; no filters match everything."""

    def __init__(self, requested: Mapping[str, Collection[str]]) -> None:
        self._requested = requested

    def __bool__(self) -> bool:
        return bool(self._requested)

    def values(self, name: str) -> tuple[str, ...]:
        """Return the alternatives for one name."""
        return tuple(self._requested.get(name, ()))

    def exact(self, name: str, *found: str) -> bool:
        """Return whether one of the values equals one of ``found``."""
        requested = self._requested.get(name)
        return not requested or any(value in requested for value in found)

    def pattern(self, name: str, *found: str) -> bool:
        """Return whether one of the values, as text or as a regular expression, occurs in one of
        ``found``.
        """
        requested = self._requested.get(name)
        return not requested or any(_matches(value, text) for value in requested for text in found)

    def any_of(self, name: str, holds: Callable[[str], bool]) -> bool:
        """Return whether a condition holds for one of the values."""
        requested = self._requested.get(name)
        return not requested or any(holds(value) for value in requested)

    def labels(self, labels: Mapping[str, str], name: str = "label") -> bool:
        """Return whether all requested labels exist, ``NAME`` or ``NAME=VALUE``."""
        return all(_has_label(labels, value) for value in self._requested.get(name, ()))

    def prunes(self, labels: Mapping[str, str]) -> bool:
        """Return whether an object with these labels may be pruned: it has all of ``label``, and
        not all of ``label!``.
        """
        return self.labels(labels) and not (self.values("label!") and self.labels(labels, "label!"))


def parse_filters(text: str, known: Collection[str]) -> Filters:
    """Parse the query's ``filters``.

    Raises:
        InvalidRequest: not such a map, or a name that means nothing here.
    """
    requested = decode_filters(text)
    for name in requested:
        if name not in known:
            raise InvalidRequest(f"invalid filter '{name}'")
    return Filters(requested)


def decode_filters(text: str) -> dict[str, list[str]]:
    """Decode the query's ``filters`` whatever their names are. Of a map of values, only the keys
    count.

    Raises:
        InvalidRequest: not such a map.
    """
    if not text:
        return {}
    try:
        requested = msgspec.json.decode(text, type=dict[str, dict[str, bool] | list[str]] | None)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as malformed:
        raise InvalidRequest(f"invalid filter: {malformed}") from None
    return {name: list(values) for name, values in (requested or {}).items()}


def parse_boolean_filter(filters: Filters, name: str) -> bool | None:
    """Return the value of a filter that is true or false; None if it is absent.

    Raises:
        InvalidRequest: neither, or both.
    """
    values = filters.values(name)
    if not values:
        return None
    meanings = {_BOOLEANS.get(value) for value in values}
    if len(meanings) != 1 or None in meanings:
        raise refused(name, " ".join(values))
    return meanings.pop()


def refused(name: str, value: str) -> InvalidRequest:
    """Return the error for a value that its filter does not know."""
    return InvalidRequest(f"invalid filter '{name}=[{value}]'")


def _has_label(labels: Mapping[str, str], requested: str) -> bool:
    name, equals, value = requested.partition("=")
    return name in labels and (not equals or labels[name] == value)


def _matches(pattern: str, text: str) -> bool:
    if pattern == text:
        return True
    if len(pattern) > _PATTERN_LENGTH_MAX or _REPEATED_GROUP.search(pattern):
        return pattern in text
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False
