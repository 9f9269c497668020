"""The table, line by line as figures come in."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tests.bench.sampling import Benchmark, Column, Figure, Spread

_WHAT_WIDTH: Final = 48
_SPREAD_WIDTH: Final = 27
_TARGET_WIDTH: Final = 12
_NOTHING: Final = "–"


def heading(columns: Sequence[str]) -> str:
    """The names of the columns, and a rule below them."""
    names = "".join(f"{name:<{_SPREAD_WIDTH}}" for name in columns)
    line = f"{'median (least – greatest)':<{_WHAT_WIDTH}}{names}{'target':<{_TARGET_WIDTH}}verdict"
    return f"{line}\n{'─' * len(line)}"


def lines(
    benchmark: Benchmark, measured: Mapping[str, Column], columns: Sequence[str]
) -> Iterator[str]:
    """A line for each figure."""
    for number, figure in enumerate(benchmark.figures):
        spreads = [measured[name][number] if name in measured else None for name in columns]
        ours = measured["ours"][number]
        cells = "".join(f"{_cell(spread):<{_SPREAD_WIDTH}}" for spread in spreads)
        target = f"{figure.better.value} {_number(figure.target)} {figure.unit}"
        yield f"{figure.what:<{_WHAT_WIDTH}}{cells}{target:<{_TARGET_WIDTH}} {_verdict(figure, ours)}"


def failure(benchmark: Benchmark, error: Exception) -> str:
    """A line for a benchmark that came to nothing."""
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
    """Three digits that say something."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _verdict(figure: Figure, ours: Spread) -> str:
    if not figure.is_met(ours.middle):
        return "missed"
    return "met" if all(map(figure.is_met, ours.values)) else "met (not by every round)"
