"""Compare the engine's own description of its API with Docker's document, and name every
difference.

    python -m tests.conformance.compare PATH/docker-engine-api-vX.yaml

Docker's document (``api/swagger.yaml`` of the Moby project) belongs to another project and is not
part of this tree, so the caller provides it; CI can't. A line begins with ``-`` for a claim of
Docker's document only, ``+`` for one of ours only, and ``~`` for claims that differ in kind. Known
differences are in known_differences.py, each with its reason; any other is printed, and the exit
code is 1. Rules that explain nothing are printed as well: one that does so with every version of
the document from 1.51 on must be removed.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.claims import ANYTHING, Claims, claims
from tests.conformance.document import document
from tests.conformance.known_differences import KNOWN, Known


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences of two descriptions."""

    explained: Mapping[Known, tuple[str, ...]]
    faults: tuple[str, ...]
    """Differences that no rule explains."""
    idle: tuple[Known, ...]
    """Rules that explain nothing."""
    same: int
    """How many claims both make."""


def differences(ours: Claims, theirs: Claims) -> Iterator[str]:
    """Return one line for each difference; claims inside of something that one side lacks
    altogether are left out.
    """
    for name in sorted(theirs.keys() - ours.keys()):
        if not _is_inside(name, theirs.keys() - ours.keys()):
            yield f"- {name}: {theirs[name]}"
    for name in sorted(ours.keys() - theirs.keys()):
        if not _is_inside(name, ours.keys() - theirs.keys()):
            yield f"+ {name}: {ours[name]}"
    for name in sorted(ours.keys() & theirs.keys()):
        kinds = {ours[name], theirs[name]}
        if len(kinds) > 1 and ANYTHING not in kinds:
            yield f"~ {name}: {theirs[name]} with Docker, {ours[name]} here"


def _is_inside(name: str, missing: Iterable[str]) -> bool:
    """True if the field, the status or the operation around it is missing too."""
    around = name
    while True:
        cut = max(around.rfind("."), around.rfind(" "))
        if cut < 0:
            return False
        around = around[:cut]
        if around in missing:
            return True


def compare(ours: Claims, theirs: Claims, known: Iterable[Known]) -> Comparison:
    """Compare two descriptions; of several rules that fit, the first explains."""
    rules = tuple(known)
    explained: dict[Known, list[str]] = {}
    faults = []
    for line in differences(ours, theirs):
        rule = next((each for each in rules if each.covers(line)), None)
        if rule is None:
            faults.append(line)
        else:
            explained.setdefault(rule, []).append(line)
    return Comparison(
        {rule: tuple(lines) for rule, lines in explained.items()},
        tuple(faults),
        tuple(each for each in rules if each not in explained),
        sum(ours[name] == theirs[name] for name in ours.keys() & theirs.keys()),
    )


def report(found: Comparison, *, verbose: bool) -> Iterator[str]:
    """Yield the lines to print."""
    for rule, lines in found.explained.items():
        yield f"{len(lines):5} {rule.why}"
        yield from (f"        {line}" for line in lines if verbose)
    yield from (f"NOT EXPLAINED {line}" for line in found.faults)
    yield from (f"EXPLAINS NOTHING {rule.pattern}: {rule.why}" for rule in found.idle)
    total = sum(map(len, found.explained.values()))
    signs = Counter(line[0] for line in found.faults)
    yield (
        f"{found.same} claims are the same, {total} differences are explained by {len(found.explained)} rules,"
        f" {len(found.faults)} are not ({signs['-']} missing, {signs['+']} ours alone, {signs['~']} of another kind)"
    )


def main(arguments: list[str]) -> int:
    """Compare, print, and return 0 if everything is explained."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.compare")
    parser.add_argument("path", type=Path, help="Docker's document, in YAML")
    parser.add_argument("--verbose", action="store_true", help="print what is explained, too")
    options = parser.parse_args(arguments)
    theirs: Any = yaml.load(options.path.read_text(), yaml.CSafeLoader)
    found = compare(claims(document().description), claims(theirs), KNOWN)
    print("\n".join(report(found, verbose=options.verbose)))  # noqa: T201  (a program's output)
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
