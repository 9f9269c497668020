"""Docker's filters: a JSON map in the query, ``{"status": ["running"]}`` or ``{"status": {"running": true}}``.

Values of one name are alternatives, different names must all match; labels must match one and all.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Final

import msgspec

from engine.errors import InvalidRequest

_PATTERN_LENGTH_MAX: Final = 256
_REPEATED_GROUP: Final = re.compile(r"\)[*+{]")
"""What can make a backtracking matcher run for ever; Go's, which clients write for, does not backtrack."""


class Filters:
    """What was asked for; nothing asked matches everything."""

    def __init__(self, wanted: Mapping[str, Collection[str]]) -> None:
        self._wanted = wanted

    def __bool__(self) -> bool:
        return bool(self._wanted)

    def values(self, name: str) -> tuple[str, ...]:
        """The alternatives for one name."""
        return tuple(self._wanted.get(name, ()))

    def exact(self, name: str, *found: str) -> bool:
        """Whether one of the values is ``found``."""
        wanted = self._wanted.get(name)
        return not wanted or any(value in wanted for value in found)

    def pattern(self, name: str, *found: str) -> bool:
        """Whether one of the values, as text or as a regular expression, is found somewhere in ``found``."""
        wanted = self._wanted.get(name)
        return not wanted or any(_matches(value, text) for value in wanted for text in found)

    def any_of(self, name: str, holds: Callable[[str], bool]) -> bool:
        """Whether a condition holds for one of the values."""
        wanted = self._wanted.get(name)
        return not wanted or any(holds(value) for value in wanted)

    def labels(self, labels: Mapping[str, str], name: str = "label") -> bool:
        """Whether all wanted labels are there, ``NAME`` or ``NAME=VALUE``."""
        return all(_has_label(labels, value) for value in self._wanted.get(name, ()))


def parse_filters(text: str, known: Collection[str]) -> Filters:
    """Read the query's ``filters``.

    Raises:
        InvalidRequest: not such a map, or a name that means nothing here.
    """
    if not text:
        return Filters({})
    try:
        wanted = msgspec.json.decode(text, type=dict[str, dict[str, bool] | list[str]])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as malformed:
        raise InvalidRequest(f"invalid filter: {malformed}") from None
    for name, values in wanted.items():
        if name not in known:
            raise InvalidRequest(f"invalid filter '{name}'")
        if isinstance(values, dict):
            wanted[name] = [value for value, is_wanted in values.items() if is_wanted]
    return Filters(wanted)


def refused(name: str, value: str) -> InvalidRequest:
    """A value that its name does not know."""
    return InvalidRequest(f"invalid filter '{name}=[{value}]'")


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
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
