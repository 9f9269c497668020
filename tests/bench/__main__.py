"""The command: ``python -m tests.bench``."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPException

from tests.bench import report
from tests.bench.place import leave_the_host, our_engine
from tests.bench.sampling import Benchmark, measure
from tests.bench.soak import HEADING, LIVES, Reading, growth, soak, verdict
from tests.bench.subject import Subject
from tests.bench.table import BENCHMARKS


def main() -> None:
    """Measure what was asked for, all of it by default."""
    options = _parser().parse_args()
    if options.list:
        _say(*(f"{each.name:<12}{each.figures[0].what.strip()}" for each in BENCHMARKS))
        return
    if os.geteuid() != 0:
        sys.exit("tests.bench: needs root, for namespaces and cgroups")
    leave_the_host()
    if "soak" in options.names:
        sys.exit(_soak(options.lives))
    chosen = [each for each in BENCHMARKS if not options.names or each.name in options.names]
    columns = ["floor", "ours", *(["reference"] if options.reference else [])]
    _say(report.heading(columns))
    for benchmark in chosen:
        with our_engine() as ours:  # a new daemon each, so no figure depends on those taken before
            subjects = {"ours": ours}
            if options.reference:
                subjects["reference"] = Subject(options.reference, ("docker",))
            _run(benchmark, subjects, columns, options.rounds)


def _soak(lives: int) -> int:
    """Print a line for each reading, then what has grown; returns the exit status."""
    readings: list[Reading] = []
    with our_engine("tests.harness.resource_usage") as ours:
        _say(HEADING)
        for reading in soak(ours.daemon, lives):
            readings.append(reading)
            _say(str(reading))
    problems = list(verdict(readings))
    _say(*problems or ["back to where it was"])
    for name, more in growth(readings[0].gauges, readings[-1].gauges).items():
        _say(f"  {name}: {more:+}")
    return 1 if problems else 0


def _run(
    benchmark: Benchmark, subjects: dict[str, Subject], columns: Sequence[str], rounds: int | None
) -> None:
    try:
        measured = measure(benchmark, subjects, rounds=rounds or benchmark.rounds)
        _say(*report.lines(benchmark, measured, columns))
    except Exception as error:  # a root: the other figures must still be measured
        _say(report.failure(benchmark, error))
    finally:
        for subject in subjects.values():
            with suppress(
                OSError, HTTPException
            ):  # ignored if the daemon has died; its directory and namespaces are removed
                subject.remove_all()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Measure, and print."
    )
    names = [each.name for each in BENCHMARKS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}, or soak")
    parser.add_argument("--lives", type=int, default=LIVES, help="of containers, for soak")
    parser.add_argument("--rounds", type=int, help="instead of each benchmark's own number")
    parser.add_argument(
        "--reference", metavar="HOST", help="another engine, unix:///PATH, with a busybox image"
    )
    parser.add_argument("--list", action="store_true", help="say what there is to measure")
    return parser


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)  # noqa: T201  (the command's output)


if __name__ == "__main__":
    main()
