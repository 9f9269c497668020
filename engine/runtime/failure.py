"""Describe why a process could not be started, with Docker's messages and exit codes."""

import errno
import os
from typing import Final

EXIT_SETUP_FAILED: Final = 125
"""The fault is the engine's, or the request's."""
EXIT_NOT_EXECUTABLE: Final = 126
EXIT_NOT_FOUND: Final = 127

_EXIT_CODES: Final = {
    errno.ENOENT: EXIT_NOT_FOUND,
    errno.EACCES: EXIT_NOT_EXECUTABLE,
    errno.EISDIR: EXIT_NOT_EXECUTABLE,
    errno.ENOEXEC: EXIT_NOT_EXECUTABLE,
    errno.ENOTDIR: EXIT_NOT_EXECUTABLE,
    errno.EPERM: EXIT_NOT_EXECUTABLE,
}


class SetupFailed(Exception):
    """A step refused; ``str()`` is fit for a user's eyes."""

    def __init__(self, message: str, errno: int = 0, exit_code: int = EXIT_SETUP_FAILED) -> None:
        super().__init__(message)
        self.errno = errno
        self.exit_code = exit_code


def words(number: int) -> str:
    """An errno as Docker's messages spell it: in lower case."""
    return os.strerror(number).lower()


def refusal(message: str, error: OSError) -> SetupFailed:
    """The failure of setting up, with its reason in words."""
    number = error.errno or 0
    return SetupFailed(f"{message}: {words(number)}", number)


def command_refusal(message: str, number: int) -> SetupFailed:
    """The failure of a command that can't be executed: 127 when it is not there, 126 when it is of
    no use.
    """
    return SetupFailed(message, number, _EXIT_CODES.get(number, EXIT_SETUP_FAILED))
