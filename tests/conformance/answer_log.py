"""Read and judge the answers that daemons have recorded, and report the wrong ones.

Imports the judge only if there is something to judge: tests that start no daemon pay nothing.
"""

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_SHOWN: Final = 20
_open: set["AnswerLog"] = set()


class AnswerLog:
    """A file that a daemon appends to in all its lives; tests/harness/recording.py describes the
    lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_bytes = 0
        self._checked: set[tuple[str, str, int, bytes, tuple[str, ...]]] = set()
        self._streams: dict[str, bytes] = {}
        _open.add(self)

    def close(self) -> None:
        """Close the file: it gets no more lines, or they don't matter."""
        _open.discard(self)

    def new_faults(self) -> list[str]:
        """Return what is wrong with the answers that came since the last call."""
        from tests.conformance.validation import Given, violations  # see above

        found: dict[str, None] = {}
        for line in self._new_lines():
            given = Given(
                line["method"],
                line["target"],
                line["status"],
                line["media_type"],
                self._complete(line["stream"], b64decode(line["body"])),
                tuple(line.get("looked_up", ())),
            )
            path = given.target.partition("?")[0]
            key = (given.method, path, given.status, given.body, given.looked_up)
            if key not in self._checked:
                self._checked.add(key)
                found.update(dict.fromkeys(violations(given)))
        return list(found)

    def assert_all_conform(self) -> None:
        """Fail if an answer is wrong."""
        found = self.new_faults()
        assert not found, _report(found)

    def _new_lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            for line in file:
                if not line.endswith(b"\n"):  # it is being written
                    return
                self._read_bytes += len(line)
                yield json.loads(line)

    def _complete(self, stream: str, part: bytes) -> bytes:
        """Return the whole lines of a stream, which is recorded in parts."""
        if not stream:
            return part
        whole, newline, rest = (self._streams.pop(stream, b"") + part).rpartition(b"\n")
        self._streams[stream] = rest
        return whole + newline


def assert_all_conform() -> None:
    """Fail if a new answer of any daemon is wrong."""
    found = [each for log in tuple(_open) for each in log.new_faults()]
    assert not found, _report(found)


def _report(found: list[str]) -> str:
    shown = "\n  ".join(found[:_SHOWN])
    return f"{len(found)} answers or fields that are not as the API is described:\n  {shown}"
