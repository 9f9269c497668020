"""Run ``commit`` and ``save``."""

import os
from pathlib import Path
from typing import Final

from engine.cli import output
from engine.cli.command import Command, Invocation
from engine.cli.engine import Query
from engine.cli.exporting import save
from engine.cli.failures import Failure
from engine.cli.flags import switch, text, texts


def _commit(invocation: Invocation) -> int:
    options = invocation.options
    container, *reference = invocation.arguments
    query: Query = {
        "container": container,
        "repo": reference[0] if reference else "",
        "author": options.text("author"),
        "comment": options.text("message"),
        "changes": options.many("change"),
        "pause": "0" if options.on("no-pause") else "1",
    }
    output.line(invocation.engine.ask("POST", "/commit", query)["Id"])
    return 0


def _save(invocation: Invocation) -> int:
    path = invocation.options.text("output")
    if not path and os.isatty(output.STDOUT):
        raise Failure(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect", exit_code=1
        )
    query: Query = {"names": invocation.arguments}
    answer = invocation.engine.request("GET", "/images/get", query)
    if path:
        save(Path(path), answer.blocks())
        return 0
    for block in answer.blocks():
        output.write_bytes(output.STDOUT, block)
    return 0


COMMANDS: Final = {
    "commit": Command(
        "commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
        "Create a new image from a container's changes",
        _commit,
        (
            text("author", "a", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")'),
            texts("change", "c", "Apply Dockerfile instruction to the created image"),
            text("message", "m", "Commit message"),
            switch("pause", "p", "Pause container during commit (default)"),
            switch("no-pause", "", "Let the container go on during commit"),
        ),
        least=1,
        most=2,
    ),
    "save": Command(
        "save [OPTIONS] IMAGE [IMAGE...]",
        "Save one or more images to a tar archive (streamed to STDOUT by default)",
        _save,
        (text("output", "o", "Write to a file, instead of STDOUT"),),
        least=1,
    ),
}
