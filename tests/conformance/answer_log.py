"""The answers that a daemon has written down: read, judged, and remembered only if they were wrong.

Imports the judge when there is something to judge: tests that start no daemon pay nothing.
"""

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_SHOWN: Final = 20
_open: set["AnswerBook"] = set()


class AnswerBook:
    """One file that a daemon appends to in all its lives; see tests/harness/recording.py for the
    lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_bytes = 0
        self._judged: set[tuple[str, str, int, bytes, tuple[str, ...]]] = set()
        self._streams: dict[str, bytes] = {}
        _open.add(self)

    def close(self) -> None:
        """Nobody will write any more, or nobody cares."""
        _open.discard(self)

    def news(self) -> list[str]:
        """What is wrong about the answers that came since the last time."""
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
            if key not in self._judged:
                self._judged.add(key)
                found.update(dict.fromkeys(violations(given)))
        return list(found)

    def assert_all_conform(self) -> None:
        """Fail with what is wrong."""
        found = self.news()
        assert not found, _report(found)

    def _new_lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            for line in file:
                if not line.endswith(b"\n"):  # being written
                    return
                self._read_bytes += len(line)
                yield json.loads(line)

    def _complete(self, stream: str, part: bytes) -> bytes:
        """Of a stream, which is written down in parts, whole lines."""
        if not stream:
            return part
        whole, newline, rest = (self._streams.pop(stream, b"") + part).rpartition(b"\n")
        self._streams[stream] = rest
        return whole + newline


def assert_all_conform() -> None:
    """Fail with what is wrong about the new answers of all daemons that there are."""
    found = [each for book in tuple(_open) for each in book.news()]
    assert not found, _report(found)


def _report(found: list[str]) -> str:
    shown = "\n  ".join(found[:_SHOWN])
    return f"{len(found)} answers or fields that are not as the API is described:\n  {shown}"
