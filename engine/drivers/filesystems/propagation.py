"""Whether what is mounted below a path of the host later on can reach a container, or come from there: mount_namespaces(7)."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from engine.domain.mounts import Bind
from engine.errors import DriverError

_TABLE: Final = Path("/proc/self/mountinfo")
_OCTAL: Final = re.compile(rb"\\([0-7]{3})")
_NEEDED: Final = {"shared": (b"shared:",), "slave": (b"shared:", b"master:")}
"""Which optional field the mount of a source must have; proc(5), mountinfo."""


def check_propagation(binds: Iterable[Bind]) -> None:
    """Refuse a bind that asks for news of a mount that tells none: the kernel would grant it in silence.

    Raises:
        DriverError: with Docker's words.
    """
    for bind in binds:
        kind = bind.propagation.removeprefix("r")
        if kind not in _NEEDED:
            continue
        place, fields = _mount_of(os.path.realpath(bind.source))
        if not any(field.startswith(_NEEDED[kind]) for field in fields):
            wanted = "shared" if kind == "shared" else "shared or slave"
            raise DriverError(
                f"path {bind.source} is mounted on {place} but it is not a {wanted} mount"
            )


def _mount_of(path: str) -> tuple[str, list[bytes]]:
    """The mount that a path is in, of several on one another the topmost, and its optional fields."""
    found: tuple[str, list[bytes]] = ("/", [])
    for line in _TABLE.read_bytes().splitlines():
        columns = line.split(b" ")
        place = os.fsdecode(_OCTAL.sub(lambda code: bytes([int(code[1], 8)]), columns[4]))
        is_above = path == place or path.startswith(place.rstrip("/") + "/")
        if is_above and len(place) >= len(found[0]):
            found = (place, columns[6 : columns.index(b"-", 6)])
    return found
