"""Create the files by which programs detect that they run in a container: /.dockerenv and
/etc/mtab.
"""

import os
from contextlib import suppress
from typing import Final

from engine.runtime.inside import open_parent

_MARKER: Final = "/.dockerenv"
"""An empty file; systemd-detect-virt(1) and many scripts take it as the sign of a container."""
_MARKER_MODE: Final = 0o755
_MOUNT_TABLE: Final = "/etc/mtab"
"""The mount table for older programs; a link to the kernel's own table, proc_pid_mounts(5)."""


def create_markers(root_fd: int) -> None:
    """Create the missing ones of the two; files of the image are not changed.

    Raises:
        OSError: the root can't be written, or its ``/etc`` is no directory.
    """
    with suppress(FileExistsError):
        flags = os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        os.close(os.open(_MARKER.lstrip("/"), flags, _MARKER_MODE, dir_fd=root_fd))
    directory_fd, name = open_parent(root_fd, _MOUNT_TABLE)
    try:
        with suppress(FileExistsError):
            os.symlink("/proc/mounts", name, dir_fd=directory_fd)
    finally:
        os.close(directory_fd)
