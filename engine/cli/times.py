"""Convert times from the forms that users write to Unix nanoseconds, and back to those that they
read.

2026-11-20T10:00:00.123456789Z   RFC 3339, an offset instead of Z too
2026-11-20 10:00                 local time; also with seconds, a fraction, or the date alone
10m  1h30m  "10m ago"            before now (Go's durations; d and w for days and weeks)
1795461697  1795461697.5         Unix time
now
"""

import re
import time
from typing import Final

NANO: Final = 10**9
_UNITS_NS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": NANO,
    "m": 60 * NANO,
    "h": 3600 * NANO,
    "d": 86400 * NANO,
    "w": 7 * 86400 * NANO,
}
_PART: Final = re.compile(r"(\d+)(?:\.(\d+))?(ns|us|µs|ms|s|m|h|d|w)")
_UNIX: Final = re.compile(r"(\d+)(?:\.(\d{1,9}))?\d*")
_DATE: Final = r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9})\d*)?)?)?\s*(Z|z|[+-]\d{2}:?\d{2})?"


def parse_moment(text: str, now_ns: int) -> int:
    """Convert a time to Unix nanoseconds.

    Raises:
        ValueError: none of the forms above.
    """
    stripped = text.strip()
    if stripped == "now":
        return now_ns
    if (match := _UNIX.fullmatch(stripped)) is not None:
        return int(match[1]) * NANO + _fraction_ns(match[2])
    if (match := re.fullmatch(_DATE, stripped)) is not None:
        return _parse_date(match)
    try:
        return now_ns - parse_duration(stripped.removesuffix("ago").strip())
    except ValueError:
        raise ValueError(f'invalid value for time: "{text}"') from None


def parse_duration(text: str) -> int:
    """Convert ``1h30m`` to nanoseconds: Go's time.ParseDuration, and days and weeks.

    Raises:
        ValueError: it is not a duration.
    """
    total, position = 0, 0
    for match in _PART.finditer(text):
        if match.start() != position:
            break
        unit = _UNITS_NS[match[3]]
        total += int(match[1]) * unit + _fraction_ns(match[2]) * unit // NANO
        position = match.end()
    if text.replace(".", "", 1).isdigit() and text != "0":
        raise ValueError(f'time: missing unit in duration "{text}"')
    if not text or (position != len(text) and text != "0"):
        raise ValueError(f'time: invalid duration "{text}"')
    return total


def _fraction_ns(digits: str | None) -> int:
    return int((digits or "")[:9].ljust(9, "0"))


def _parse_date(match: re.Match[str]) -> int:
    from datetime import datetime  # 3 ms, only when needed

    date, minutes, seconds, fraction, zone = match.groups()
    written = f"{date}T{minutes or '00:00'}:{seconds or '00'}"
    moment = datetime.fromisoformat(written + (zone or "").upper())
    local = moment if moment.tzinfo is not None else moment.astimezone()
    return int(local.timestamp()) * NANO + _fraction_ns(fraction)


def parse_timestamp(text: str) -> int:
    """Convert an RFC 3339 time from the engine to Unix nanoseconds; zero for Go's zero time and for
    an empty text.
    """
    match = re.fullmatch(_DATE, text)
    return _parse_date(match) if match is not None and not text.startswith("0001-") else 0


def unix_seconds(moment_ns: int) -> str:
    """Convert to the form of Docker's API: seconds, and nanoseconds after a point if there are
    any.
    """
    seconds, nanos = divmod(moment_ns, NANO)
    return f"{seconds}.{nanos:09}" if nanos else str(seconds)


def local_rfc3339(moment_ns: int) -> str:
    """Format local time with all nine digits: ``2026-11-20T10:00:00.000000000+01:00``."""
    seconds, nanos = divmod(moment_ns, NANO)
    local = time.localtime(seconds)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{nanos:09}{_offset(local)}"


def created_at(moment_s: int) -> str:
    """Format as Go prints a time, for Docker's ``CreatedAt``: ``2026-11-20 10:00:00 +0100 CET``."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(moment_s))


def ansi_c(text: str) -> str:
    """Convert RFC 3339 to ``Fri May 30 12:07:14 2025``, for build times; other text is not
    changed.
    """
    moment_ns = parse_timestamp(text)
    if not moment_ns:
        return text
    moment = time.gmtime(moment_ns // NANO)
    return time.strftime(f"%a %b {moment.tm_mday:>2} %H:%M:%S %Y", moment)


def now_ns() -> int:
    """Return the present time in Unix nanoseconds."""
    return time.time_ns()


def _offset(local: time.struct_time) -> str:
    minutes = local.tm_gmtoff // 60
    if not minutes:
        return "Z"
    sign = "+" if minutes > 0 else "-"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
