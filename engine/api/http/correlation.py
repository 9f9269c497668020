"""Name requests, so that response, log and events can be joined."""

import os
from collections.abc import Iterator
from typing import Final

_BYTES: Final = 16
_DRAWN: Final = 256
"""How many names are made at a time: a system call for each would cost as much as the rest of
it."""


def _correlations() -> Iterator[str]:
    while True:
        digits = os.urandom(_BYTES * _DRAWN).hex()
        for start in range(0, len(digits), 2 * _BYTES):
            yield digits[start : start + 2 * _BYTES]


fresh_correlation: Final = _correlations().__next__
"""The next name: 32 hexadecimal digits that were never used before."""
