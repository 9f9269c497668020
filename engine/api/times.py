"""Parse and format times and durations as Docker's API does."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from engine.errors import InvalidRequest

SECOND_NS: Final = 1_000_000_000
NEVER: Final = "0001-01-01T00:00:00Z"
"""Go's zero time."""

_UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
_TERM: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(ns|us|ms|s|m|h)")
_SPAN: Final = re.compile(r"(?:\d{1,15}(?:\.\d{1,9})?(?:ns|us|ms|s|m|h)){1,6}")
_SECONDS: Final = re.compile(r"(?P<sign>-?)(?P<whole>\d{1,11})(?:\.(?P<fraction>\d{1,9})\d*)?")
_STAMP: Final = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?(?P<zone>Z|[+-]\d\d:\d\d)?"
)


@dataclass(frozen=True, slots=True)
class Moment:
    """The point in time from which spans are counted: now, or a past moment that was asked
    about.
    """

    wall_ns: int
    boot_ns: int | None = None
    """CLOCK_BOOTTIME, which never jumps; None in the past, where only the wall clock is known."""

    def since(self, wall_ns: int, boot_ns: int = 0) -> int:
        """Return the nanoseconds since something happened; 0 if the clock says that it is still to
        come.
        """
        if self.boot_ns is not None and boot_ns:
            return max(0, self.boot_ns - boot_ns)
        return max(0, self.wall_ns - wall_ns)


def stamp(wall_ns: int) -> str:
    """Format a time as RFC 3339 with nanoseconds; 0 is never."""
    if not wall_ns:
        return NEVER
    second, rest_ns = divmod(wall_ns, SECOND_NS)
    text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest_ns:09d}".rstrip("0") if rest_ns else ""
    return f"{text}{fraction}Z"


def parse_stamp(text: str) -> int | None:
    """Return the nanoseconds since 1970 of an RFC 3339 time, without a zone in UTC; None if it is
    malformed.
    """
    match = _STAMP.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(match["second"] + (match["zone"] or "Z"))
    except ValueError:
        return None
    return int(moment.timestamp()) * SECOND_NS + int((match["fraction"] or "").ljust(9, "0") or 0)


def parse_moment(text: str) -> int | None:
    """Return the nanoseconds since 1970 of ``SECONDS[.NANOSECONDS]`` or an RFC 3339 time; None for
    an empty text and for ``0``.

    Raises:
        InvalidRequest: it is neither.
    """
    if text in ("", "0"):
        return None
    match = _SECONDS.fullmatch(text)
    if match is None:
        if (found := parse_stamp(text)) is None:
            raise InvalidRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        return found
    total_ns = int(match["whole"]) * SECOND_NS + int((match["fraction"] or "").ljust(9, "0"))
    return -total_ns if match["sign"] else total_ns


def parse_moment_or_span(text: str, now_ns: int) -> int:
    """Parse a moment, or a span before now as Go writes it (``24h``, ``1h30m``).

    Raises:
        InvalidRequest: it is neither.
    """
    if text and _SPAN.fullmatch(text):
        terms = _TERM.findall(text)
        return now_ns - sum(int(float(number) * _UNITS_NS[unit]) for number, unit in terms)
    return parse_moment(text) or 0


def parse_until(text: str, now_ns: int) -> int:
    """Parse a filter ``until``, as :func:`parse_moment_or_span` with another error message."""
    try:
        return parse_moment_or_span(text, now_ns)
    except InvalidRequest:
        raise InvalidRequest(f'failed to parse value as time or duration: "{text}"') from None


def human_duration(span_ns: int) -> str:
    """Format a duration for people, as ``docker ps`` does."""
    seconds = span_ns // SECOND_NS
    for limit, words in _WORDS:
        if seconds < limit:
            return words(seconds)
    return f"{seconds // 3600 // 24 // 365} years"


def _hours(seconds: int) -> int:
    return (seconds + 1800) // 3600


_WORDS: Final[tuple[tuple[int, Callable[[int], str]], ...]] = (
    (1, lambda _: "Less than a second"),
    (2, lambda _: "1 second"),
    (60, lambda seconds: f"{seconds} seconds"),
    (120, lambda _: "About a minute"),
    (3600, lambda seconds: f"{seconds // 60} minutes"),
    (5400, lambda _: "About an hour"),
    (48 * 3600 - 1800, lambda seconds: f"{_hours(seconds)} hours"),
    (14 * 24 * 3600 - 1800, lambda seconds: f"{_hours(seconds) // 24} days"),
    (60 * 24 * 3600 - 1800, lambda seconds: f"{_hours(seconds) // 24 // 7} weeks"),
    (730 * 24 * 3600 - 1800, lambda seconds: f"{_hours(seconds) // 24 // 30} months"),
)
"""The words for spans below so many seconds, rounded as in Docker's go-units."""
