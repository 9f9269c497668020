"""Write to standard output and standard error; no other module does.

Text is written with ``surrogateescape``: a name that is not UTF-8 is written as the bytes that were
received. A reader that has closed the pipe (``shipslog ps | head -1``) causes
:class:`BrokenPipeError`, which ``__main__`` turns into a quiet end.
"""

import os
from typing import Final

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2


def write_bytes(fd: int, payload: bytes) -> None:
    """Write everything, however many writes it takes."""
    view = memoryview(payload)
    while view:
        view = view[os.write(fd, view) :]


def write(text: str) -> None:
    """Write to standard output, unchanged."""
    write_bytes(STDOUT, text.encode(errors="surrogateescape"))


def line(text: str = "") -> None:
    """Write to standard output, with a line feed."""
    write(f"{text}\n")


def error_line(text: str) -> None:
    """Write to standard error, with a line feed."""
    write_bytes(STDERR, f"{text}\n".encode(errors="surrogateescape"))
