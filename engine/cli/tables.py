"""Tables, and the choice between a table and a template: what ``--format`` means.

Widths are Go's text/tabwriter as Docker sets it up: a column is as wide as its widest cell and three spaces, ten at least.
A *column* is a run of neighbouring lines that have a cell there which a tab ends; the last cell of a line ends no column.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from engine.cli import output
from engine.cli.failures import Failure
from engine.cli.template.evaluation import Template
from engine.cli.template.functions import HEADER_FUNCTIONS, to_json
from engine.cli.template.values import Fields

_PADDING: Final = 3
_NARROWEST: Final = 10


def aligned(text: str, *, narrowest: int = _NARROWEST, padding: int = _PADDING) -> str:
    """``text`` with its tabs turned into columns."""
    lines = [line.split("\t") for line in text.split("\n")]
    widths: list[list[int]] = [[0] * (len(cells) - 1) for cells in lines]
    _measure(lines, widths, range(len(lines)), 0, (narrowest, padding))
    return "\n".join(
        "".join(
            cell + " " * (width - len(cell)) for cell, width in zip(cells, columns, strict=False)
        )
        + cells[-1]
        for cells, columns in zip(lines, widths, strict=True)
    )


def _measure(
    lines: Sequence[Sequence[str]],
    widths: list[list[int]],
    rows: range,
    column: int,
    least: tuple[int, int],
) -> None:
    """Find the blocks of neighbouring rows that have ``column``, size each, and go on to the next column inside."""
    narrowest, padding = least
    start = rows.start
    while start < rows.stop:
        stop = start
        while stop < rows.stop and column < len(widths[stop]):
            stop += 1
        if stop > start:
            widest = max(len(lines[row][column]) for row in range(start, stop))
            for row in range(start, stop):
                widths[row][column] = max(narrowest, widest + padding)
            _measure(lines, widths, range(start, stop), column + 1, least)
        start = max(stop, start + 1)


def ellipsis(text: str, columns: int) -> str:
    """At most ``columns`` wide, the last one an ellipsis when something is missing; wide characters count twice."""
    if sum(map(_cells, text)) <= columns:
        return text
    taken, room = "", columns - 1
    for character in text:
        room -= _cells(character)
        if room < 0:
            break
        taken += character
    return f"{taken}…"


def _cells(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class Layout:
    """What a list of rows looks like: made of ``--format`` and the verb's own table."""

    def __init__(self, wanted: str, table: str, titles: Mapping[str, str]) -> None:
        """``table`` is the template of the verb's own table; ``titles`` are the column headers by field.

        Raises:
            Failure: the format is no template.
        """
        self.is_json = wanted == "json"
        self.is_table = not wanted or wanted.split(maxsplit=1)[0] == "table"
        chosen = wanted.removeprefix("table").strip() if self.is_table else wanted
        self.source = (chosen or table) if self.is_table else wanted
        self.source = self.source.replace("\\t", "\t").replace("\\n", "\n")
        self._titles = titles
        self._template = None if self.is_json else Template(self.source)

    def row(self, fields: Fields) -> str:
        """One row, without a line feed.

        Raises:
            Failure: a field that there is not.
        """
        if self._template is None:
            return to_json(fields)
        try:
            return self._template.render(fields)
        except LookupError as error:
            raise Failure(f"failed to execute template: {error.args[0]}") from None

    def header(self) -> str:
        """The titles of the columns that the template shows."""
        columns = {name: partial(str, title) for name, title in self._titles.items()}
        labels = {"Label": lambda name: name, "Header": lambda name: name}
        fields = Fields("formatter.SubHeaderContext", columns, labels)
        try:
            return Template(self.source, HEADER_FUNCTIONS).render(fields)
        except LookupError as error:
            raise Failure(f"failed to execute template: {error.args[0]}") from None

    def show(self, rows: Iterable[Fields]) -> None:
        """Write all rows to standard output."""
        lines = [self.row(fields) for fields in rows]
        if self.is_table:
            output.line(aligned("\n".join([self.header(), *lines])))
        elif lines:
            output.line("\n".join(lines))


def short_id(identity: str) -> str:
    """The twelve digits that are for people."""
    return identity.removeprefix("sha256:")[:12]
