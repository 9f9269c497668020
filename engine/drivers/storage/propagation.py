"""Check mount propagation of bind sources, mount_namespaces(7)."""

import os
from collections.abc import Iterable
from typing import Final

from engine.domain.container.mounts import Bind
from engine.errors import DriverError
from engine.runtime.mountinfo import is_below, mounts

_NEEDED: Final = {"shared": ("shared:",), "slave": ("shared:", "master:")}
"""The optional field that the mount of a source must have; proc(5), mountinfo."""


def check_propagation(binds: Iterable[Bind]) -> None:
    """Reject shared or slave propagation when the source's mount does not allow it: the kernel
    would silently ignore it.

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


def _mount_of(path: str) -> tuple[str, tuple[str, ...]]:
    """Return the mount that holds a path (of several at one place the topmost), and its optional
    fields.
    """
    found: tuple[str, tuple[str, ...]] = ("/", ())
    for mount in mounts():
        if is_below(path, mount.place) and len(mount.place) >= len(found[0]):
            found = (mount.place, mount.propagation)
    return found
