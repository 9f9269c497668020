"""Align text in columns, as Go's text/tabwriter does.

With Docker's settings, a column is as wide as its widest cell and three spaces, ten at least. A
*column* is a run of neighbouring lines that have a cell there which a tab ends; the last cell of a
line ends no column.
"""

from collections.abc import Sequence
from typing import Final

_PADDING: Final = 3
_NARROWEST: Final = 10


def aligned(text: str, *, narrowest: int = _NARROWEST, padding: int = _PADDING) -> str:
    """Convert the tabs in ``text`` to columns."""
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
    """Measure the blocks of neighbouring rows that have ``column``, and continue with the next
    column inside them.
    """
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
    """Cut ``text`` to at most ``columns``, with an ellipsis at the end if it was cut; wide
    characters count twice.
    """
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
    if character.isascii():
        return 1
    import unicodedata  # a megabyte of tables, imported only when needed

    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def short_id(identity: str) -> str:
    """Return the twelve digits that users see."""
    return identity.removeprefix("sha256:")[:12]
