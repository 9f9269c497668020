"""Files of /proc and of cgroups: one read(2) or write(2) says it all.

Without pathlib and io: what a monitor runs, it copies. Every object it touches costs it a page of its own, because Python counts
references in the object, and a hundred monitors pay a hundred times.
"""

import os
from typing import Final

_BYTES_MAX: Final = 64 << 10


def read_once(path: str) -> bytes:
    """The content of a small file.

    Raises:
        OSError: it can't be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _BYTES_MAX)
    finally:
        os.close(fd)


def write_once(path: str, text: str) -> bool:
    """Write to a file that is not for everyone; False when it is not for us.

    Raises:
        OSError: anything but EACCES and EPERM.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except PermissionError:
        return False
    try:
        os.write(fd, text.encode())
    except PermissionError:
        return False
    finally:
        os.close(fd)
    return True
