"""Convert names of capabilities to the kernel's bit sets, capabilities(7).

A process can't give away capabilities that it does not have: a known name that the engine lacks (it
may run inside a restricted machine) is left out, as it would be for any other root process.
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
    """Convert names to bits.

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
    """Return the sets for a process of this user, limited to what this process can give.

    For a user other than root only the ambient set survives execve(2) ("Transformation of
    capabilities", capabilities(7)), so the other sets are limited to it before that, too: otherwise
    a file that the user may not execute would be found executable.
    """
    _, own, _ = linux.capget()
    ambient = capability_mask(wanted.get("ambient", ())) & own
    permitted = capability_mask(wanted.get("permitted", ())) & own if uid == 0 else ambient
    effective = capability_mask(wanted.get("effective", ())) & permitted
    inheritable = capability_mask(wanted.get("inheritable", ())) & own
    bounding = capability_mask(wanted.get("bounding", ())) & own
    return Sets(bounding, effective, inheritable | ambient, permitted | ambient, ambient)


def limit_bounding(bounding: int) -> None:
    """Drop all capabilities but these bits from the bounding set; needs CAP_SETPCAP."""
    for number in range(64):
        if bounding >> number & 1:
            continue
        try:
            linux.prctl(linux.PR_CAPBSET_DROP, number)
        except OSError as error:
            if error.errno == errno.EINVAL:  # this kernel has no capabilities from here on
                return
            raise


def raise_ambient(ambient: int) -> None:
    """Add to the ambient set; each capability must be permitted and inheritable already."""
    for number in range(ambient.bit_length()):
        if ambient >> number & 1:
            linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_RAISE, number)
