"""Encode and decode JSON with the C parts of ``json`` only: they touch the fewest memory pages.

A monitor copies every page that it writes to (see ``kernel_files.py``): ``json.dumps`` and
``json.loads`` each cost a monitor 600 KiB, these functions 100.
"""

import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any, Final

_decode: Final = json.JSONDecoder().raw_decode


def parse(text: bytes) -> Any:  # Any: what JSON holds is for the caller to know
    """Return the value at the start of a text, without space before it.

    Raises:
        ValueError: it is not JSON, or not UTF-8.
    """
    value, _ = _decode(text.decode())
    return value


def flat(fields: Mapping[str, str | int | bool | None]) -> bytes:
    """Encode an object without nested objects as one line, without its newline."""
    members = [
        f"{encode_basestring_ascii(name)}:{_scalar(value)}" for name, value in fields.items()
    ]
    return f"{{{','.join(members)}}}".encode()


def _scalar(value: str | int | bool | None) -> str:
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    return str(value)
