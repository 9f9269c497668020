"""Create the files by which programs detect that they run in a container: /.dockerenv and
/etc/mtab.
"""

import os
from contextlib import suppress
from typing import Final

from engine.runtime.inside import open_parent

_MARKER: Final = "/.dockerenv"
"""An empty file; systemd-detect-virt(1) and many a script take it for the proof."""
_MARKER_MODE: Final = 0o755
_MOUNT_TABLE: Final = "/etc/mtab"
"""Where older programs read what is mounted; the kernel's own table, proc_pid_mounts(5), is what
they then get."""


def create_markers(root_fd: int) -> None:
    """Make what is missing of the two; what an image has there stays, whatever it is.

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
