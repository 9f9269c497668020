"""Convert ``LogConfig`` to the domain's values and back."""

import re
from collections.abc import Mapping
from typing import Final

from engine.api.containers.spec.body import LogConfigWire
from engine.api.http.json_bodies import Json
from engine.domain.booleans import parse_bool
from engine.domain.container.log_config import (
    JSON_FILE,
    LOCAL,
    NONE,
    TAG_NAMES,
    TAG_WORD,
    LogConfig,
)
from engine.errors import InvalidRequest

_FAILED: Final = "failed to initialize logging driver"
_ANY_DRIVER: Final = frozenset({"mode", "max-buffer-size"})
_ROTATION: Final = frozenset({"max-size", "max-file", "compress"})
_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    JSON_FILE: _ANY_DRIVER | _ROTATION | {"labels", "labels-regex", "env", "env-regex", "tag"},
    LOCAL: _ANY_DRIVER | _ROTATION,
}
_LOCAL_DEFAULTS: Final = {"max-size": "20m", "max-file": "5", "compress": "true"}
_SIZE: Final = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?P<unit>[kmgtp]?)(?:i?b)?", re.IGNORECASE | re.ASCII
)
_POWERS: Final = {unit: 1000**power for power, unit in enumerate(("", "k", "m", "g", "t", "p"))}
"""Decimal, as the other engine reads the sizes of logs."""


def parse_log_config(wire: LogConfigWire | None) -> LogConfig:
    """Parse driver and options.

    Raises:
        InvalidRequest: no such driver or option, or a value that it can't have.
    """
    driver = (wire.type if wire else None) or JSON_FILE
    options = dict(sorted(((wire.config if wire else None) or {}).items()))
    if driver == NONE:
        return LogConfig(driver=NONE, options=options)
    if driver not in _OPTIONS:
        raise InvalidRequest(f'logger: no log driver named "{driver}" is registered')
    _check_names(driver, options)
    _check_mode(options)
    _check_attributes(options)
    return _rotated(driver, options)


def _check_names(driver: str, options: Mapping[str, str]) -> None:
    for option in options:
        if option not in _OPTIONS[driver]:
            whose = f"{driver} log driver" if driver == JSON_FILE else f"log driver {driver}"
            raise InvalidRequest(f"unknown log opt '{option}' for {whose}")


def _check_mode(options: Mapping[str, str]) -> None:
    """Refuse an unknown mode. Both modes are the same here: the container only waits for a write
    into the page cache.
    """
    mode, buffer = options.get("mode", ""), options.get("max-buffer-size")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidRequest(f"logger: logging mode not supported: {mode}")
    if buffer is None:
        return
    if mode != "non-blocking":
        raise InvalidRequest(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
        )
    if _size(buffer) is None:
        raise InvalidRequest(f"error parsing option max-buffer-size: invalid size: '{buffer}'")


def _check_attributes(options: Mapping[str, str]) -> None:
    for name in ("labels-regex", "env-regex"):
        try:
            re.compile(options.get(name, ""))
        except re.error as error:
            raise InvalidRequest(f"{_FAILED}: error parsing regexp: {error}") from error
    tag = options.get("tag", "")
    unknown = {word["name"] for word in TAG_WORD.finditer(tag)} - set(TAG_NAMES)
    if unknown or "{{" in TAG_WORD.sub("", tag):
        raise InvalidRequest(
            f"{_FAILED}: template: log-tag: only {', '.join(TAG_NAMES)} can stand in a tag: {tag}"
        )


def _rotated(driver: str, options: Mapping[str, str]) -> LogConfig:
    chosen = {**(_LOCAL_DEFAULTS if driver == LOCAL else {}), **options}
    bytes_max, files_max = (
        _bytes_max(chosen.get("max-size")),
        _files_max(chosen.get("max-file", "1")),
    )
    compress = _boolean(chosen.get("compress", "false"))
    if compress and (files_max < 2 or not bytes_max):
        raise InvalidRequest(
            f"{_FAILED}: compress cannot be true when max-file is less than 2 or max-size is not set"
        )
    return LogConfig(
        driver=driver,
        options=dict(options),
        file_bytes_max=bytes_max,
        files_max=files_max,
        compress=compress,
    )


def _bytes_max(text: str | None) -> int:
    if text is None:
        return 0
    size = _size(text)
    if size is None:
        raise InvalidRequest(f"{_FAILED}: invalid size: '{text}'")
    if not size:
        raise InvalidRequest(f"{_FAILED}: max-size must be a positive number")
    return size


def _size(text: str) -> int | None:
    match = _SIZE.fullmatch(text)
    return int(float(match["number"]) * _POWERS[match["unit"].lower()]) if match else None


def _files_max(text: str) -> int:
    if not (text.removeprefix("-").isascii() and text.removeprefix("-").isdigit()):
        raise InvalidRequest(f'{_FAILED}: strconv.Atoi: parsing "{text}": invalid syntax')
    if len(text) > 9:
        raise InvalidRequest(f'{_FAILED}: strconv.Atoi: parsing "{text}": value out of range')
    if int(text) < 1:
        raise InvalidRequest(f"{_FAILED}: max-file cannot be less than 1")
    return int(text)


def _boolean(text: str) -> bool:
    try:
        return parse_bool(text)
    except ValueError as malformed:
        raise InvalidRequest(f"{_FAILED}: {malformed}") from None


def log_config_json(log: LogConfig) -> Json:
    """Return ``HostConfig.LogConfig``."""
    return {"Type": log.driver, "Config": log.options}
