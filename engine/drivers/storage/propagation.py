"""Check mount propagation of bind sources, mount_namespaces(7)."""

import os
from collections.abc import Iterable
from typing import Final

from engine.domain.container.mounts import Bind
from engine.errors import DriverError
from engine.runtime.mountinfo import is_below, mounts

_NEEDED: Final = {"shared": ("shared:",), "slave": ("shared:", "master:")}
"""Which optional field the mount of a source must have; proc(5), mountinfo."""


def check_propagation(binds: Iterable[Bind]) -> None:
    """Refuse a bind that asks for news of a mount that tells none: the kernel would grant it in
    silence.

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
    """The mount that a path is in, of several on one another the topmost, and its optional
    fields.
    """
    found: tuple[str, tuple[str, ...]] = ("/", ())
    for mount in mounts():
        if is_below(path, mount.place) and len(mount.place) >= len(found[0]):
            found = (mount.place, mount.propagation)
    return found
