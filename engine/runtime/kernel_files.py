"""Read and write files with one read(2) or write(2), as /proc and cgroups need it.

Without pathlib and io, to save memory: every object that a monitor uses costs it a page of its own,
because Python counts references in the object, and there are as many monitors as containers.
"""

import os
from typing import Final

_BLOCK_BYTES: Final = 16 << 10


def read_once(path: str) -> bytes:
    """Return the content of a small file.

    Raises:
        OSError: it can't be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(fd, _BLOCK_BYTES)
        while len(content) % _BLOCK_BYTES == 0 and (more := os.read(fd, _BLOCK_BYTES)):
            content += more
        return content
    finally:
        os.close(fd)


def write_once(path: str, text: str) -> bool:
    """Write to a file that may be forbidden to us; return False if it is.

    Raises:
        OSError: any error but EACCES and EPERM.
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
