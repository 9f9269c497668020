"""Print help texts for ``--help``, in the layout of Docker's client. Imported only when needed."""

from collections.abc import Iterable
from typing import Final

from engine.cli.command import Command
from engine.cli.flags import Flag, switch, text
from engine.cli.verbs import MODULES, load

_COLUMNS: Final = 80

GLOBAL_FLAGS: Final = (
    text("host", "H", "Daemon socket to connect to"),
    switch("version", "v", "Print version information and quit"),
)
_HELP: Final = switch("help", "", "Print usage")


def usage_line(command: Command) -> str:
    """Return the line below an error."""
    return f"Usage:  shipslog {command.usage}"


def command_help(command: Command) -> str:
    """Return the help of one verb."""
    flags = sorted((*command.flags, _HELP), key=lambda flag: flag.name)
    return f"{usage_line(command)}\n\n{command.summary}\n\nOptions:\n{flag_table(flags)}"


def program_help() -> str:
    """Return the help with all verbs."""
    width = max(map(len, MODULES)) + 3
    rows = [f"  {verb:{width}}{load(verb).summary}" for verb in MODULES]
    return "\n".join(
        [
            "Usage:  shipslog [OPTIONS] COMMAND",
            "",
            "A container engine whose truth is its log",
            "",
            "Commands:",
            *rows,
            "",
            "Global Options:",
            flag_table(GLOBAL_FLAGS),
            "",
            "Run 'shipslog COMMAND --help' for more information on a command.",
        ]
    )


def flag_table(flags: Iterable[Flag]) -> str:
    """Return options with their descriptions, in two columns."""
    shown = [(_left(flag), flag) for flag in flags if not flag.hidden]
    width = max(len(left) for left, _ in shown) + 3
    return "\n".join(row for left, flag in shown for row in _rows(left, _described(flag), width))


def _left(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    return f"  {short}--{flag.name} {flag.kind.word}".rstrip()


def _described(flag: Flag) -> str:
    return f"{flag.help} (default {flag.default})" if flag.default else flag.help


def _rows(left: str, description: str, width: int) -> Iterable[str]:
    room = max(_COLUMNS - width, 24)
    line = ""
    for word in description.split():
        if line and len(line) + 1 + len(word) > room:
            yield f"{left:{width}}{line}"
            left, line = "", word
        else:
            line = f"{line} {word}".lstrip()
    yield f"{left:{width}}{line}"
