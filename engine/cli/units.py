"""Parse and format sizes and durations as Docker's go-units does."""

import re
from typing import Final

_DECIMAL: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)*) ?([kmgtp])?i?b?", re.IGNORECASE)
_NANO: Final = 10**9
_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR


def human_size(size_bytes: float, digits: int = 3) -> str:
    """Format in powers of 1000 with ``digits`` significant digits: ``1.98MB``."""
    return _scaled(size_bytes, 1000, _DECIMAL, digits)


def binary_size(size_bytes: float) -> str:
    """Format in powers of 1024 with four significant digits: ``23.54GiB``."""
    return _scaled(size_bytes, 1024, _BINARY, 4)


def _scaled(size: float, base: int, names: tuple[str, ...], digits: int) -> str:
    power = 0
    while size >= base and power < len(names) - 1:
        size /= base
        power += 1
    return f"{size:.{digits}g}{names[power]}"


def parse_bytes(text: str) -> int:
    """Convert ``64m`` and ``1.5GiB`` to bytes: powers of 1024 whatever the letter's case.

    Raises:
        ValueError: not a size, with Docker's message.
    """
    match = _SIZE.fullmatch(text)
    if match is None or match[1].count(".") > 1:
        raise ValueError(f"invalid size: '{text}'")
    power = " kmgtp".index((match[2] or " ").lower())
    return int(float(match[1]) * 1024**power)


def parse_bytes_or_unlimited(text: str) -> int:
    """Parse a size like :func:`parse_bytes`, or ``-1`` for no limit."""
    return -1 if text == "-1" else parse_bytes(text)


def parse_cpus(text: str) -> int:
    """Convert ``1.5`` (or ``3/2``) CPUs to billionths.

    Raises:
        ValueError: not a number, or finer than a billionth.
    """
    if (match := re.fullmatch(r"(\d+)/([1-9]\d*)", text)) is not None:
        nanos, remainder = divmod(int(match[1]) * _NANO, int(match[2]))
    elif (match := re.fullmatch(r"(\d*)\.?(\d*)", text)) is not None and text.strip("."):
        nanos = int((match[1] or "0") + match[2][:9].ljust(9, "0"))
        remainder = int(match[2][9:] or "0")
    else:
        raise ValueError(f"failed to parse {text} as a rational number")
    if remainder:
        raise ValueError("value is too precise")
    return nanos


def human_duration(seconds: float) -> str:
    """Format a duration in one unit: ``5 minutes``, ``About an hour``."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    if whole < 120:
        return "About a minute"
    if whole < _HOUR:
        return f"{whole // 60} minutes"
    hours = int(seconds / _HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    for limit_days, unit_days, name in ((2, 0, "hours"), (14, 1, "days"), (60, 7, "weeks")):
        if hours < 24 * limit_days:
            return f"{hours // (24 * unit_days) if unit_days else hours} {name}"
    if hours < 24 * 730:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / _DAY) // 365} years"
