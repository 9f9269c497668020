"""Parse ``--filter name=value``."""

import json
from collections.abc import Iterable
from typing import Final

from engine.cli.flags import Flag, Kind


def parse_filter(text: str) -> tuple[str, str]:
    """Parse one filter.

    Raises:
        ValueError: there is no ``=`` in it.
    """
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError("bad format of filter (expected name=value)")
    return name.strip().lower(), value.strip()


FILTER: Final = Flag(
    "filter",
    "f",
    Kind("filter", parse_filter, many=True),
    "Filter output based on conditions provided",
)


def encoded(filters: Iterable[tuple[str, str]]) -> str:
    """Encode filters for the API: ``{"label": {"a=b": true}}``; empty if there are none."""
    collected: dict[str, dict[str, bool]] = {}
    for name, value in filters:
        collected.setdefault(name, {})[value] = True
    return json.dumps(collected, separators=(",", ":"), sort_keys=True) if collected else ""
