"""Write whole contents to descriptors."""

import os


def write_all(fd: int, content: bytes) -> None:
    """Call write(2) until everything is written."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
