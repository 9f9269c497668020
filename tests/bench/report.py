"""Print the table, line by line as figures come in."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tests.bench.sampling import Benchmark, Column, Figure, Spread

_WHAT_WIDTH: Final = 48
_SPREAD_WIDTH: Final = 27
_TARGET_WIDTH: Final = 26
_NOTHING: Final = "–"


def heading(columns: Sequence[str]) -> str:
    """Return the names of the columns, and a rule below them."""
    names = "".join(f"{name:<{_SPREAD_WIDTH}}" for name in columns)
    line = f"{'median (least – greatest)':<{_WHAT_WIDTH}}{names}{'target':<{_TARGET_WIDTH}}verdict"
    return f"{line}\n{'─' * len(line)}"


def lines(
    benchmark: Benchmark, measured: Mapping[str, Column], columns: Sequence[str]
) -> Iterator[str]:
    """Yield a line for each figure."""
    for number, figure in enumerate(benchmark.figures):
        spreads = {name: measured[name][number] for name in columns if name in measured}
        cells = "".join(f"{_cell(spreads.get(name)):<{_SPREAD_WIDTH}}" for name in columns)
        verdict = _verdict(figure, spreads)
        yield f"{figure.what:<{_WHAT_WIDTH}}{cells}{_target(figure):<{_TARGET_WIDTH}}{verdict}"


def failure(benchmark: Benchmark, error: Exception) -> str:
    """Return a line for a benchmark that failed."""
    return (
        f"{benchmark.figures[0].what:<{_WHAT_WIDTH}}not measured: {error or type(error).__name__}"
    )


def _cell(spread: Spread | None) -> str:
    if spread is None or math.isnan(spread.middle):
        return _NOTHING
    if len(spread.values) == 1:
        return _number(spread.middle)
    least, greatest = min(spread.values), max(spread.values)
    return f"{_number(spread.middle)} ({_number(least)} – {_number(greatest)})"


def _number(value: float) -> str:
    """Format a number with three significant digits."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _target(figure: Figure) -> str:
    absolute = (
        f"{figure.better.value} {_number(figure.target)} {figure.unit}"
        if figure.target is not None
        else ""
    )
    relative = f"{_number(figure.times)}×" if figure.times else ""
    above = f"{_number(figure.floors)} floors" if figure.floors else ""
    return ", ".join(filter(None, (absolute, relative, above)))


def _verdict(figure: Figure, spreads: Mapping[str, Spread]) -> str:
    """Compare medians with the targets; mention outliers, because the machine may have been
    busy.
    """
    ours = spreads["ours"]
    other, floor = (
        spreads[name].middle if name in spreads else None for name in ("reference", "floor")
    )
    if not figure.is_met(ours.middle, other, floor):
        word = "missed"
    elif all(map(figure.is_met, ours.values)):
        word = "met"
    else:
        word = "met (not by every round)"
    if figure.floors and floor:
        word += f", {ours.middle / floor:.1f} floors"
    return (
        word if other is None else f"{word}, {figure.ahead(ours.middle, other):.1f}× the reference"
    )
