"""Convert names of capabilities to the kernel's bit sets, capabilities(7).

What this process itself does not have it can't give away: a name that is known but out of reach
(the engine may run inside a restricted machine) is left out, as it would be for any other root.
"""

import errno
from collections.abc import Iterable
from typing import Final, NamedTuple

from engine.capability_names import ALL_CAPABILITIES
from engine.runtime import linux
from engine.runtime.bundle import Capabilities
from engine.runtime.failure import SetupFailed

_NUMBERS: Final = {name: number for number, name in enumerate(ALL_CAPABILITIES)}
CAP_SYS_ADMIN: Final = 1 << _NUMBERS["CAP_SYS_ADMIN"]


class Sets(NamedTuple):
    """The five sets, bit n for capability n."""

    bounding: int
    effective: int
    inheritable: int
    permitted: int
    ambient: int


def capability_mask(names: Iterable[str]) -> int:
    """Capabilities by name as bits.

    Raises:
        SetupFailed: an unknown name.
    """
    bits = 0
    for name in names:
        if name not in _NUMBERS:
            raise SetupFailed(f"unknown capability {name!r}")
        bits |= 1 << _NUMBERS[name]
    return bits


def attainable_sets(wanted: Capabilities, uid: int) -> Sets:
    """What a process of this user is to have, as far as this one can give it.

    Of another user than root nothing survives execve(2) but the ambient set ("Transformation of
    capabilities", capabilities(7)), so it has nothing more at that moment either: a file that it
    may not execute must not be found executable.
    """
    _, own, _ = linux.capget()
    ambient = capability_mask(wanted.get("ambient", ())) & own
    permitted = capability_mask(wanted.get("permitted", ())) & own if uid == 0 else ambient
    effective = capability_mask(wanted.get("effective", ())) & permitted
    inheritable = capability_mask(wanted.get("inheritable", ())) & own
    bounding = capability_mask(wanted.get("bounding", ())) & own
    return Sets(bounding, effective, inheritable | ambient, permitted | ambient, ambient)


def limit_bounding(bounding: int) -> None:
    """Drop from the bounding set what is not among these bits; needs CAP_SETPCAP."""
    for number in range(64):
        if bounding >> number & 1:
            continue
        try:
            linux.prctl(linux.PR_CAPBSET_DROP, number)
        except OSError as error:
            if error.errno == errno.EINVAL:  # this kernel knows none from here on
                return
            raise


def raise_ambient(ambient: int) -> None:
    """Add to the ambient set; each must be permitted and inheritable already."""
    for number in range(ambient.bit_length()):
        if ambient >> number & 1:
            linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_RAISE, number)
