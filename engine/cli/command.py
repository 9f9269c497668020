"""Define a verb: usage, options and function."""

from collections.abc import Callable
from typing import NamedTuple

from engine.cli.engine import Engine
from engine.cli.failures import UsageError
from engine.cli.flags import Flag, Options


class Invocation(NamedTuple):
    """One use of a verb: engine, options and arguments."""

    engine: Engine
    options: Options
    arguments: list[str]


class Command(NamedTuple):
    """One verb. ``run`` returns the exit code, or raises a Failure."""

    usage: str
    """The usage line, without the program's name: ``stop [OPTIONS] CONTAINER [CONTAINER...]``."""
    summary: str
    run: Callable[[Invocation], int]
    flags: tuple[Flag, ...] = ()
    least: int = 0
    most: int | None = None
    """The maximum number of arguments; None: any number."""
    interspersed: bool = True
    """Whether options may follow arguments."""

    @property
    def name(self) -> str:
        """Return the name of the verb, two words for ``container prune``."""
        words = self.usage.split()
        return " ".join(word for word in words if word.islower() and word.isalpha())

    def check_arguments(self, count: int) -> None:
        """Raise UsageError with Docker's message if there are too few or too many arguments."""
        if self.most == 0 and count:
            raise UsageError(_refusal(self.name, "accepts no arguments"), exit_code=1)
        if self.least == self.most and count != self.least:
            needs = f"requires {self.least} {_plural(self.least)}"
            raise UsageError(_refusal(self.name, needs), exit_code=1)
        if count < self.least:
            needs = f"requires at least {self.least} {_plural(self.least)}"
            raise UsageError(_refusal(self.name, needs), exit_code=1)
        if self.most is not None and count > self.most:
            needs = f"requires at most {self.most} {_plural(self.most)}"
            raise UsageError(_refusal(self.name, needs), exit_code=1)


def _refusal(name: str, needs: str) -> str:
    return f"shipslog: 'shipslog {name}' {needs}"


def _plural(count: int) -> str:
    return "argument" if count == 1 else "arguments"
