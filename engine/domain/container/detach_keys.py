"""Parse and recognise the keys that detach a client from a terminal."""

from typing import Final

from engine.errors import InvalidRequest

DEFAULT_DETACH_KEYS: Final = "ctrl-p,ctrl-q"
_CONTROLS: Final = {
    **{f"ctrl-{letter}": ord(letter) - 96 for letter in "abcdefghijklmnopqrstuvwxyz"},
    "ctrl-@": 0,
    "ctrl-[": 27,
    "ctrl-\\": 28,
    "ctrl-]": 29,
    "ctrl-^": 30,
    "ctrl-_": 31,
}


def parse_detach_keys(text: str) -> bytes:
    """Return the bytes that detach a client; ``ctrl-p,ctrl-q`` is the default if the text is empty.

    Raises:
        InvalidRequest: a part is neither one character nor ``ctrl-`` and one.
    """
    keys = bytearray()
    for key in (text or DEFAULT_DETACH_KEYS).split(","):
        if key in _CONTROLS:
            keys.append(_CONTROLS[key])
        elif len(key) == 1 and key.isascii():
            keys.append(ord(key))
        else:
            raise InvalidRequest(f"Invalid detach keys ({text}) provided")
    return bytes(keys)
