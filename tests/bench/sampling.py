"""Measure in rounds: all subjects in turn, so that a quiet minute favours none of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from enum import Enum
from math import inf
from statistics import median

from tests.bench.subject import Subject

Sampler = Callable[[], tuple[float, ...]]
"""Takes one sample: a value for each figure of its benchmark, in their order and units."""
Method = Callable[[Subject], AbstractContextManager[Sampler]]
"""Prepares, yields a sampler, and cleans up; only the sampler's work is measured."""


class Better(Enum):
    """Which way a figure should go; the value is how its target is written."""

    LOWER = "≤"
    HIGHER = "≥"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    what: str
    unit: str
    better: Better
    target: float | None = None
    """The target value; None if only the reference counts."""
    times: float = 0.0
    """The target ratio to the reference in the same run; 0 if no other engine has a comparable
    value.
    """
    floors: float = 0.0
    """The maximal ratio to the floor of the same run; 0 if the floor is only shown."""

    def is_met(
        self, value: float, reference: float | None = None, floor: float | None = None
    ) -> bool:
        """True if a value reaches the target, and its ratios to reference and floor."""
        return (
            self._reaches(value)
            and (reference is None or self.ahead(value, reference) >= self.times)
            and (floor is None or not self.floors or value <= self.floors * floor)
        )

    def ahead(self, value: float, reference: float) -> float:
        """Return how many times as good as the reference a value is."""
        better, worse = (value, reference) if self.better is Better.LOWER else (reference, value)
        return worse / better if better else inf

    def _reaches(self, value: float) -> bool:
        if self.target is None:
            return True
        return value <= self.target if self.better is Better.LOWER else value >= self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A method that gives one or several figures.

    Attributes:
        floor: the same without an engine, for all its figures; NaN where there is no such thing.
        comparable: whether an engine that is not ours to kill can be measured, too.
    """

    name: str
    figures: tuple[Figure, ...]
    method: Method
    floor: Method | None = None
    rounds: int = 5
    comparable: bool = True


@dataclass(frozen=True, slots=True)
class Spread:
    """The results of all rounds for one figure."""

    values: tuple[float, ...]

    @property
    def middle(self) -> float:
        """Return the median."""
        return median(self.values)


Column = tuple[Spread, ...]
"""One spread for each figure of a benchmark."""


def measure(
    benchmark: Benchmark, subjects: Mapping[str, Subject], *, rounds: int
) -> dict[str, Column]:
    """Return the columns ``floor`` and those of the subjects, each with a spread for every
    figure.
    """
    with ExitStack() as prepared:
        samplers = {
            name: prepared.enter_context(method(subject))
            for name, method, subject in _columns(benchmark, subjects)
        }
        samples: dict[str, list[tuple[float, ...]]] = {name: [] for name in samplers}
        for _ in range(rounds):
            for name, sampler in samplers.items():
                samples[name].append(sampler())
    return {name: _spreads(taken) for name, taken in samples.items()}


def _columns(
    benchmark: Benchmark, subjects: Mapping[str, Subject]
) -> Iterator[tuple[str, Method, Subject]]:
    ours = next(iter(subjects.values()))
    if benchmark.floor is not None:
        yield "floor", benchmark.floor, ours
    for name, subject in subjects.items():
        if subject is ours or benchmark.comparable:
            yield name, benchmark.method, subject


def _spreads(samples: Sequence[tuple[float, ...]]) -> Column:
    return tuple(Spread(values) for values in zip(*samples, strict=True))
