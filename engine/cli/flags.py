"""Parse options as Docker's client does (Go's pflag). argparse differs from it, and takes ten times
as long to import.

    --name VALUE   --name=VALUE   -n VALUE   -nVALUE   -n=VALUE
    -it (short switches in a row)   --rm   --rm=false   --

A verb that runs a command inside a container (``run``, ``create``, ``exec``) stops looking for
options at the first argument: the rest belongs to the container.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.cli.failures import UsageError
from engine.domain.booleans import parse_bool


class Kind(NamedTuple):
    """How a flag's text becomes a value."""

    word: str
    """Shown in the help after the flag's name; empty for a switch."""
    parse: Callable[
        [str], Any
    ]  # Any: each kind has its own type; the typed getters of Options check it
    """Raises ValueError with Docker's message."""
    many: bool = False
    implied: str | None = None
    """The value if none is given: only a switch has one."""


class Flag(NamedTuple):
    """One option of a verb."""

    name: str
    short: str
    kind: Kind
    help: str
    default: str = ""
    """Shown in the help only."""
    hidden: bool = False

    @property
    def spelled(self) -> str:
        """Return the name for error messages: ``-m, --memory``."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


def parse_int(text: str) -> int:
    """Parse an integer like Go's strconv.ParseInt with base 0."""
    try:
        return int(text, 0) if text[:2].lower() in ("0x", "0o", "0b") else int(text)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


SWITCH: Final = Kind("", parse_bool, implied="true")
TEXT: Final = Kind("string", str)
INTEGER: Final = Kind("int", parse_int)
TEXTS: Final = Kind("list", str, many=True)


def switch(name: str, short: str, help_text: str, default: str = "") -> Flag:
    """Define an option that is on or off."""
    return Flag(name, short, SWITCH, help_text, default)


def text(name: str, short: str, help_text: str, default: str = "") -> Flag:
    """Define an option with a string."""
    return Flag(name, short, TEXT, help_text, default)


def integer(name: str, short: str, help_text: str, default: str = "") -> Flag:
    """Define an option with a whole number."""
    return Flag(name, short, INTEGER, help_text, default)


def texts(name: str, short: str, help_text: str) -> Flag:
    """Define an option that may be repeated."""
    return Flag(name, short, TEXTS, help_text)


class Options:
    """The given options by long name, with typed getters."""

    def __init__(self, values: Mapping[str, Any]) -> None:  # Any: see Kind.parse
        self._values = values

    def given(self, name: str) -> bool:
        """True if the option is on the command line."""
        return name in self._values

    def on(self, name: str, *, default: bool = False) -> bool:
        """Return a switch's value."""
        return bool(self._values.get(name, default))

    def text(self, name: str, default: str = "") -> str:
        """Return a string option's value."""
        return str(self._values.get(name, default))

    def number(self, name: str, default: int = 0) -> int:
        """Return a number option's value."""
        return int(self._values.get(name, default))

    def many(self, name: str) -> list[Any]:
        """Return all values of an option that may be repeated, in order; empty if not given."""
        return list(self._values.get(name, ()))


def parse(
    words: Sequence[str], flags: Iterable[Flag], *, interspersed: bool
) -> tuple[Options, list[str]]:
    """Split a verb's command line into its options and its arguments.

    Raises:
        UsageError: an unknown option, a missing or a malformed value; with pflag's message.
    """
    known = tuple(flags)
    by_name = {flag.name: flag for flag in known}
    by_short = {flag.short: flag for flag in known if flag.short}
    values: dict[str, Any] = {}
    arguments: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            arguments.extend(rest)
        elif word.startswith("--"):
            _take_long(word[2:], by_name, rest, values)
        elif word.startswith("-") and word != "-":
            _take_short(word, by_short, rest, values)
        else:
            arguments.append(word)
            if not interspersed:
                arguments.extend(rest)
    return Options(values), arguments


def _take_long(
    word: str, flags: Mapping[str, Flag], rest: Iterator[str], values: dict[str, Any]
) -> None:
    name, separator, value = word.partition("=")
    flag = flags.get(name)
    if flag is None:
        raise UsageError(f"unknown flag: --{name}")
    if separator:
        _store(flag, value, values)
    elif flag.kind.implied is not None:
        _store(flag, flag.kind.implied, values)
    else:
        following = next(rest, None)
        if following is None:
            raise UsageError(f"flag needs an argument: --{name}")
        _store(flag, following, values)


def _take_short(
    word: str, flags: Mapping[str, Flag], rest: Iterator[str], values: dict[str, Any]
) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = flags.get(letter)
        if flag is None:
            raise UsageError(f"unknown shorthand flag: '{letter}' in {word}")
        if letters.startswith("="):
            return _store(flag, letters[1:], values)
        if flag.kind.implied is not None:
            _store(flag, flag.kind.implied, values)
            continue
        value = letters or next(rest, None)
        if value is None:
            raise UsageError(f"flag needs an argument: '{letter}' in {word}")
        return _store(flag, value, values)
    return None


def _store(flag: Flag, value: str, values: dict[str, Any]) -> None:
    try:
        parsed = flag.kind.parse(value)
    except ValueError as error:
        raise UsageError(f'invalid argument "{value}" for "{flag.spelled}" flag: {error}') from None
    if flag.kind.many:
        values.setdefault(flag.name, []).append(parsed)
    else:
        values[flag.name] = parsed
