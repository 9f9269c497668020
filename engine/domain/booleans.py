"""Parse booleans as users of Docker write them."""

from typing import Final

_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def parse_bool(text: str) -> bool:
    """Return what Go's strconv.ParseBool returns.

    Raises:
        ValueError: the text is no boolean; the message is Go's.
    """
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def is_true(text: str) -> bool:
    """Return whether a text is a boolean that is true."""
    return text in _TRUE
