"""Parse ``HEALTHCHECK``: flags with Go durations, then ``NONE`` or ``CMD …``."""

import re
from typing import Final

import msgspec

from engine.domain.image.config import Healthcheck
from engine.errors import InvalidRequest

_FLAG: Final = re.compile(r"--(?P<name>[a-z-]+)=(?P<value>\S*)\s*")
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h))+|0")
_TERM: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")
_UNITS_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_DURATION_MIN_NS: Final = 1_000_000


def parse_healthcheck(text: str) -> Healthcheck:
    """Parse the arguments of ``HEALTHCHECK``.

    Raises:
        InvalidRequest: an unknown flag or type, a bad duration, or no command.
    """
    numbers: dict[str, int] = {}
    while flag := _FLAG.match(text):
        name = flag["name"]
        if name == "retries":
            numbers[name] = _count(flag["value"])
        elif name in ("interval", "timeout", "start-period", "start-interval"):
            numbers[name.replace("-", "_")] = _duration_ns(name, flag["value"])
        else:
            raise InvalidRequest(f"unknown flag: {name}")
        text = text[flag.end() :]
    return Healthcheck(test=_test(text), **numbers)


def _test(text: str) -> tuple[str, ...]:
    kind, _, rest = text.strip().partition(" ")
    rest = rest.strip()
    match kind.upper():
        case "":
            raise InvalidRequest("HEALTHCHECK requires at least one argument")
        case "NONE":
            if rest:
                raise InvalidRequest("HEALTHCHECK NONE takes no arguments")
            return ("NONE",)
        case "CMD":
            if not rest:
                raise InvalidRequest("Missing command after HEALTHCHECK CMD")
            return _command(rest)
        case _:
            raise InvalidRequest(f'Unknown type "{kind.upper()}" in HEALTHCHECK (try CMD)')


def _command(text: str) -> tuple[str, ...]:
    if text.startswith("["):
        try:
            return ("CMD", *msgspec.json.decode(text, type=tuple[str, ...]))
        except msgspec.DecodeError:
            pass  # not JSON: then it is the shell's, as for CMD
    return ("CMD-SHELL", text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InvalidRequest(f"--retries: invalid number {text!r}")
    return int(text)


def _duration_ns(name: str, text: str) -> int:
    if not _DURATION.fullmatch(text):
        raise InvalidRequest(f'time: invalid duration "{text}"')
    total = sum(round(float(number) * _UNITS_NS[unit]) for number, unit in _TERM.findall(text))
    if 0 < total < _DURATION_MIN_NS:
        raise InvalidRequest(f'Interval "{name}" cannot be less than 1ms')
    return total
