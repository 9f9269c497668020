"""List the host's device nodes, for a privileged container."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_OWN: Final = frozenset({"pts", "shm", "fd", "mqueue", "console", "ptmx"})
"""The entries of /dev that each container has of its own."""


def host_devices(root: Path = Path("/dev")) -> tuple[dict[str, Any], ...]:
    """Return every character and block device below ``/dev``, in the form of the OCI runtime
    specification.
    """
    return tuple(sorted(_devices(root), key=lambda device: str(device["path"])))


def _devices(directory: Path) -> Iterator[dict[str, Any]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name in _OWN or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _devices(Path(entry.path))
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                yield device_node(entry.path, status)


def device_node(path: str, status: os.stat_result) -> dict[str, Any]:
    """Return a node in the form of the OCI runtime specification, at the given path."""
    return {
        "path": path,
        "type": "b" if stat.S_ISBLK(status.st_mode) else "c",
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }
