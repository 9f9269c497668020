"""Parse /proc/self/mountinfo, proc_pid_mountinfo(5)."""

import os
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_TABLE: Final = "/proc/self/mountinfo"
_OCTAL: Final = re.compile(rb"\\([0-7]{3})")
"""Spaces, tabs, newlines and backslashes in a path."""


class MountEntry(NamedTuple):
    """One mount; of several at one place the last in the table is on top."""

    place: str
    propagation: tuple[str, ...]
    """The optional fields, such as ``shared:2`` and ``master:3``."""
    filesystem: str
    super_options: tuple[str, ...]


def mounts() -> list[MountEntry]:
    """Return the mounts that the calling thread sees, in the kernel's order.

    Raises:
        OSError: no more descriptors.
    """
    with open(_TABLE, "rb") as table:  # noqa: PTH123  (lean)
        return list(parse_mounts(table.read()))


def parse_mounts(table: bytes) -> Iterator[MountEntry]:
    """Yield the entries of a table."""
    for line in table.splitlines():
        columns = line.split(b" ")
        separator = columns.index(b"-", 6)
        yield MountEntry(
            os.fsdecode(_OCTAL.sub(lambda code: bytes([int(code[1], 8)]), columns[4])),
            tuple(field.decode() for field in columns[6:separator]),
            columns[separator + 1].decode(),
            tuple(os.fsdecode(columns[separator + 3]).split(",")),
        )


def is_below(path: str, place: str) -> bool:
    """True if a path is a mount's place or below it, compared as text."""
    return path == place or path.startswith(place.rstrip("/") + "/")
