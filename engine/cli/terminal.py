"""Set the user's terminal to raw mode, and restore it.

In raw mode every key goes into the container: its terminal does the echoing, the line editing and
the job control. The old settings are restored at any end of the client, by an exit code or by a
signal that can be caught; after SIGKILL, ``stty sane`` (or ``reset``) helps.
"""

import contextlib
import os
import termios
from collections.abc import Iterator
from typing import Final

DEFAULT_DETACH_KEYS: Final = b"\x10\x11"
"""Ctrl-P Ctrl-Q."""

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6


@contextlib.contextmanager
def raw(fd: int) -> Iterator[None]:
    """Pass every key through for the block: cfmakeraw(3)."""
    before = termios.tcgetattr(fd)
    after = termios.tcgetattr(fd)
    after[_IFLAG] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    after[_OFLAG] &= ~termios.OPOST
    after[_LFLAG] &= ~(
        termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN
    )
    after[_CFLAG] = (after[_CFLAG] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    after[_CC][termios.VMIN], after[_CC][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSANOW, after)
    try:
        yield
    finally:
        # A terminal that was hung up (SIGHUP) has no settings any more.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


def size(fd: int) -> tuple[int, int] | None:
    """Return rows and columns; None if ``fd`` is not a terminal or its size is unknown."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return None
    return (rows, columns) if rows and columns else None


def parse_keys(text: str) -> bytes:
    """Convert ``ctrl-p,ctrl-q`` or ``a,ctrl-x`` to the bytes that a terminal sends for them.

    Raises:
        ValueError: an unknown key.
    """
    return bytes(_key(name) for name in text.split(",")) if text else DEFAULT_DETACH_KEYS


def _key(name: str) -> int:
    if len(name) == 1 and name.isascii():
        return ord(name)
    letter = name.removeprefix("ctrl-")
    if (
        letter != name
        and len(letter) == 1
        and letter.upper() in "@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_"
    ):
        return ord(letter.upper()) - 0x40
    raise ValueError(f"Unknown character: '{name}'")
