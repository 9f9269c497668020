"""Parse signals as users write them."""

from signal import SIGRTMAX, SIGRTMIN, Signals
from typing import Final

from engine.errors import InvalidRequest

_NUMBERS: Final = {
    **{signal.name.removeprefix("SIG"): int(signal) for signal in Signals},
    "CLD": int(Signals.SIGCHLD),
    "POLL": int(Signals.SIGIO),
    **{f"RTMIN+{offset}": SIGRTMIN + offset for offset in range(1, 16)},
    **{f"RTMAX-{offset}": SIGRTMAX - offset for offset in range(1, 15)},
}


def parse_signal(text: str) -> int:
    """Return the number of a signal given as number or name, with or without ``SIG``, signal(7).

    Raises:
        InvalidRequest: there is no such signal.
    """
    if text.isascii() and text.isdigit():
        if 0 < int(text) <= SIGRTMAX:
            return int(text)
        if int(text) > 0:
            raise InvalidRequest(f"the linux daemon does not support signal {int(text)}")
    elif (name := text.upper().removeprefix("SIG")) in _NUMBERS:
        return _NUMBERS[name]
    raise InvalidRequest(f"invalid signal: {text}")
