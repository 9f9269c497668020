"""Define where a container's output is kept, how much of it, and which attributes every record
has.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

JSON_FILE: Final = "json-file"
LOCAL: Final = "local"
"""Stored in the format of json-file: no other program reads Docker's format."""
NONE: Final = "none"

TAG_WORD: Final = re.compile(r"\{\{ *\.(?P<name>\w+) *\}\}")
TAG_NAMES: Final = ("ID", "FullID", "Name", "ImageName", "ImageID", "ImageFullID", "DaemonName")


class LogConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a container's output is logged; ``options`` are as asked for, the other fields say what
    they mean.
    """

    driver: str = JSON_FILE
    options: dict[str, str] = {}
    file_bytes_max: int = 0
    """A file of this size is rotated; 0: never."""
    files_max: int = 1
    """How many files there are at most, the present one included."""
    compress: bool = False
    """Whether rotated files are compressed, gzip(1)."""

    @property
    def is_kept(self) -> bool:
        """Return whether there is a log to read."""
        return self.driver != NONE


def log_attributes(
    options: Mapping[str, str],
    labels: Mapping[str, str],
    env: Iterable[str],
    names: Mapping[str, str],
) -> dict[str, str]:
    """Return what every record of a log carries: the labels and variables that options choose, and
    the tag.

    Args:
        options: ``labels`` and ``env`` list names, ``labels-regex`` and ``env-regex`` match them,
            ``tag`` is a template.
        labels: the container's.
        env: its variables, ``NAME=value``.
        names: what ``{{.Name}}`` and its like stand for in a tag.
    """
    variables = dict(variable.split("=", 1) for variable in env if "=" in variable)
    found = dict(_chosen(labels, options.get("labels", ""), options.get("labels-regex", "")))
    found |= _chosen(variables, options.get("env", ""), options.get("env-regex", ""))
    if tag := options.get("tag", ""):
        found["tag"] = TAG_WORD.sub(lambda word: names.get(word["name"], ""), tag)
    return dict(sorted(found.items()))


def _chosen(values: Mapping[str, str], listed: str, pattern: str) -> Iterator[tuple[str, str]]:
    requested = set(listed.split(",")) if listed else set()
    matches = re.compile(pattern) if pattern else None
    for name, value in values.items():
        if name in requested or (matches and matches.search(name)):
            yield name, value
