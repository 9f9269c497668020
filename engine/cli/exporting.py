"""Run ``export`` and ``diff``."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from engine.cli import output
from engine.cli.command import Command, Invocation
from engine.cli.failures import Failure
from engine.cli.flags import text

_KINDS: Final = "CAD"
"""Changed, added, deleted: by the API's number."""


def _export(invocation: Invocation) -> int:
    path = invocation.options.text("output")
    if not path and os.isatty(output.STDOUT):
        raise Failure(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect", exit_code=1
        )
    answer = invocation.engine.request("GET", f"/containers/{invocation.arguments[0]}/export")
    if path:
        save(Path(path), answer.blocks())
        return 0
    for block in answer.blocks():
        output.write_bytes(output.STDOUT, block)
    return 0


def save(path: Path, blocks: Iterable[bytes]) -> None:
    """Write a file that is complete or does not exist.

    Raises:
        Failure: it can't be written.
    """
    beside = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        with beside.open("xb") as file:
            for block in blocks:
                file.write(block)
        beside.rename(path)
    except OSError as error:
        raise Failure(f"write {path}: {(error.strerror or '').lower()}") from error
    finally:
        beside.unlink(missing_ok=True)


def _diff(invocation: Invocation) -> int:
    container = invocation.arguments[0]
    changes = invocation.engine.ask("GET", f"/containers/{container}/changes") or ()
    for change in changes:
        output.line(f"{_KINDS[change['Kind']]} {change['Path']}")
    return 0


COMMANDS: Final = {
    "export": Command(
        "export [OPTIONS] CONTAINER",
        "Export a container's filesystem as a tar archive",
        _export,
        (text("output", "o", "Write to a file, instead of STDOUT"),),
        least=1,
        most=1,
    ),
    "diff": Command(
        "diff CONTAINER",
        "Inspect changes to files or directories on a container's filesystem",
        _diff,
        least=1,
        most=1,
    ),
}
