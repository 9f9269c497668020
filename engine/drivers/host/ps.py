"""Run ps(1) and keep the lines of some processes.

It is run without a shell, and options that make it read files are refused.
"""

import os
import re
import subprocess
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import trio

from engine.errors import DriverError, InvalidRequest, Unsupported
from engine.ports.host import ProcessTable

_TIMEOUT_S: Final = 10.0
_ARGUMENTS_LENGTH_MAX: Final = 512
_RENAMED: Final = re.compile(r"\s+(\S*)=\s*(PID\S*)", re.ASCII)
"""A column titled PID with other contents, which would show processes of other containers."""
_BLANKS: Final = " \t\n\v\f\r"
"""The characters that separate words for ps. Python knows more: a title could hide behind them."""
_UNIX_WITH_VALUE: Final = frozenset("CGOUgkopqstu")
_BSD_WITH_VALUE: Final = frozenset("OUkopqt")
_READS_FILE: Final = {True: "n", False: "N"}
"""The option that names a file to read symbols from, with a dash and without."""


def checked_words(arguments: str) -> list[str]:
    """Split the arguments of ps into words.

    Raises:
        InvalidRequest: they hide the PID, or read files.
    """
    words = _words(arguments)
    _check(arguments, words)
    return words


def _words(text: str) -> list[str]:
    return [word for word in re.split(f"[{_BLANKS}]+", text) if word]


def _check(text: str, words: Iterable[str]) -> None:
    for name, title in _RENAMED.findall(f" {text}"):
        if name != "pid":
            raise InvalidRequest(f'specifying "{name}={title}" is not allowed')
    if len(text) > _ARGUMENTS_LENGTH_MAX or "\0" in text:
        raise InvalidRequest("ps: arguments are too long")
    is_value = False
    for word in words:
        if word.startswith("/"):
            raise InvalidRequest(f"ps: path {word} is not allowed")
        if is_value:
            is_value = False
        elif not word.startswith("--"):
            is_value = _takes_next(word)


def _takes_next(word: str) -> bool:
    """Return whether a group of single-letter options ends in one whose value is the next word.

    Raises:
        InvalidRequest: one of them reads a file.
    """
    has_dash = word.startswith("-")
    with_value = _UNIX_WITH_VALUE if has_dash else _BSD_WITH_VALUE
    letters = word.removeprefix("-")
    for position, letter in enumerate(letters, start=1):
        if letter == _READS_FILE[has_dash]:
            raise InvalidRequest(f"ps: option {letter} is not allowed")
        if letter in with_value:
            return position == len(letters)
    return False


async def run_ps(words: list[str], pids: Collection[int]) -> str:
    """Run ps for some processes; with options that don't allow that, run it for all.

    Raises:
        InvalidRequest: ps does not know the arguments.
        Unsupported: there is no ps on this machine.
    """
    output, problem = await _ps([*words, f"-q{','.join(map(str, pids))}"])
    if problem:
        output, problem = await _ps(words)
    if problem:
        raise InvalidRequest(f"ps: {problem}")
    return output


async def _ps(words: list[str]) -> tuple[str, str]:
    """Run ps and return its output and, if it failed, the first line of its error message."""
    try:
        with trio.fail_after(_TIMEOUT_S):
            done = await trio.run_process(
                ["ps", *words],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                stdin=subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
            )
    except FileNotFoundError as missing:
        raise Unsupported("ps is not installed on this machine (Debian: procps)") from missing
    except trio.TooSlowError as slow:
        raise DriverError("ps did not answer") from slow
    problem = done.stderr.decode(errors="replace").strip().partition("\n")[0]
    failed = problem or f"exit status {done.returncode}"
    return done.stdout.decode(errors="replace"), failed if done.returncode else ""


def table_of(output: str, pids: Collection[int]) -> ProcessTable:
    """Split the output of ps into columns; the last, a command, keeps its blanks.

    Raises:
        InvalidRequest: no column is called PID.
    """
    title, _, rest = output.partition("\n")
    titles = _words(title)
    if "PID" not in titles:
        raise InvalidRequest("Couldn't find PID field in ps output")
    rows = _rows(rest, len(titles), titles.index("PID"), pids)
    return ProcessTable(tuple(titles), tuple(tuple(row) for row in rows))


def _rows(output: str, columns: int, pid_column: int, pids: Collection[int]) -> Iterator[list[str]]:
    for line in output.split("\n"):
        fields = re.split(f"[{_BLANKS}]+", line.strip(_BLANKS), maxsplit=columns - 1)
        if len(fields) <= pid_column or not fields[pid_column].isdecimal():
            continue
        if int(fields[pid_column]) in pids:
            yield fields
