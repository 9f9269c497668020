"""Choose between a table and a template, as ``--format`` asks."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from engine.cli import output
from engine.cli.columns import aligned
from engine.cli.failures import Failure
from engine.cli.template.values import Fields, shown, to_json

_PLAIN: Final = re.compile(r"\{\{\.(\w+)\}\}")

Render = Callable[[Fields], str]


class Layout:
    """The layout of a list of rows, from ``--format`` and the verb's own table."""

    def __init__(self, wanted: str, table: str, titles: Mapping[str, str]) -> None:
        """Parse the layout. ``table`` is the template of the verb's own table; ``titles`` are the
        column headers by field.

        Raises:
            Failure: the format is not a template.
        """
        self.is_json = wanted == "json"
        self.is_table = not wanted or wanted.split(maxsplit=1)[0] == "table"
        chosen = wanted.removeprefix("table").strip() if self.is_table else wanted
        self.source = (chosen or table) if self.is_table else wanted
        self.source = self.source.replace("\\t", "\t").replace("\\n", "\n")
        self._titles = titles
        self._render = to_json if self.is_json else renderer(self.source)

    def row(self, fields: Fields) -> str:
        """Return one row, without a line feed.

        Raises:
            Failure: an unknown field.
        """
        try:
            return self._render(fields)
        except LookupError as error:
            raise Failure(f"failed to execute template: {error.args[0]}") from None

    def header(self) -> str:
        """Return the titles of the columns that the template shows."""
        columns = {name: partial(str, title) for name, title in self._titles.items()}
        labels = {"Label": lambda name: name, "Header": lambda name: name}
        fields = Fields("formatter.SubHeaderContext", columns, labels)
        try:
            return renderer(self.source, header=True)(fields)
        except LookupError as error:
            raise Failure(f"failed to execute template: {error.args[0]}") from None

    def show(self, rows: Iterable[Fields]) -> None:
        """Write all rows to standard output."""
        lines = [self.row(fields) for fields in rows]
        if self.is_table:
            output.line(aligned("\n".join([self.header(), *lines])))
        elif lines:
            output.line("\n".join(lines))


def renderer(source: str, *, header: bool = False) -> Render:
    """Return the function that turns a row into text. A template of fields alone, as in every
    verb's own table, does not need the template package, which takes 15 ms to import.
    """
    pieces = _PLAIN.split(source)
    if any("{{" in text for text in pieces[::2]):
        from engine.cli.template.evaluation import Template
        from engine.cli.template.functions import FUNCTIONS, HEADER_FUNCTIONS

        return Template(source, HEADER_FUNCTIONS if header else FUNCTIONS).render

    def render(fields: Fields) -> str:
        return "".join(
            _column(fields, piece) if place % 2 else piece for place, piece in enumerate(pieces)
        )

    return render


def _column(fields: Fields, name: str) -> str:
    if name not in fields.columns:
        where = f'template: :1:2: executing "" at <.{name}>'
        raise LookupError(f"{where}: can't evaluate field {name} in type {fields.go_type}")
    return shown(fields.columns[name]())
