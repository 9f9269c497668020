"""Parse ``-e``, ``--env-file`` and ``-l``: NAME=VALUE in all its forms."""

import os
from collections.abc import Iterator
from typing import Final

from engine.cli.failures import Failure
from engine.cli.flags import Flag, Kind, Options, texts


def _parse_env(text: str) -> str:
    if not text.partition("=")[0]:
        raise ValueError(f"invalid environment variable: {text}")
    return text


def _parse_label(text: str) -> str:
    if not text.partition("=")[0].strip():
        raise ValueError(f"invalid label '{text}': empty name")
    return text


ENV: Final = Flag("env", "e", Kind("list", _parse_env, many=True), "Set environment variables")
ENV_FILE: Final = texts("env-file", "", "Read in a file of environment variables")
LABEL: Final = Flag(
    "label", "l", Kind("list", _parse_label, many=True), "Set meta data on a container"
)
LABEL_FILE: Final = texts("label-file", "", "Read in a line delimited file of labels")


def environment(options: Options) -> list[str]:
    """Return all variables, files first; a NAME alone takes the client's value.

    If the client has none, a file's NAME is dropped; an option's is sent alone, which removes the
    variable from the image's environment.

    Raises:
        Failure: a file that can't be read or is malformed.
    """
    from_files = [entry for path in options.many("env-file") for entry in _read(path)]
    completed = [entry for entry in map(_completed, from_files) if "=" in entry]
    return [*completed, *map(_completed, options.many("env"))]


def labels(options: Options) -> dict[str, str]:
    """Return all labels; the last one of a name counts."""
    from_files = [entry for path in options.many("label-file") for entry in _read(path)]
    pairs = (entry.partition("=") for entry in [*from_files, *options.many("label")])
    return {name: value for name, _, value in pairs}


def _completed(entry: str) -> str:
    name, separator, _ = entry.partition("=")
    if separator or name not in os.environ:
        return entry
    return f"{name}={os.environ[name]}"


def _read(path: str) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:  # noqa: PTH123  (pathlib costs 10 ms)
            lines = file.read().split("\n")
    except OSError as error:
        raise Failure(f"open {path}: {(error.strerror or '').lower()}") from None
    for line in lines:
        trimmed = line.lstrip()
        if not trimmed or trimmed.startswith("#"):
            continue
        entry = trimmed.removesuffix("\r")
        name = entry.partition("=")[0]
        if any(blank in name for blank in " \t"):
            raise Failure(f"invalid env file ({path}): variable '{name}' contains whitespaces")
        if not name:
            raise Failure(f"invalid env file ({path}): no variable name on line '{entry}'")
        yield entry
