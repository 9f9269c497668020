"""Describe why a process could not be started, with Docker's messages and exit codes."""

import errno
import os
from typing import Final

EXIT_SETUP_FAILED: Final = 125
"""The engine or the request is at fault."""
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
    """A step failed; ``str()`` is a message for users."""

    def __init__(self, message: str, errno: int = 0, exit_code: int = EXIT_SETUP_FAILED) -> None:
        super().__init__(message)
        self.errno = errno
        self.exit_code = exit_code


def words(number: int) -> str:
    """Return an errno's text in Docker's form: in lower case."""
    return os.strerror(number).lower()


def refusal(message: str, error: OSError) -> SetupFailed:
    """Build the error for a failed setup step, with its reason."""
    number = error.errno or 0
    return SetupFailed(f"{message}: {words(number)}", number)


def command_refusal(message: str, number: int) -> SetupFailed:
    """Build the error for a command that can't be executed: 127 if it does not exist, 126 if it is
    unusable.
    """
    return SetupFailed(message, number, _EXIT_CODES.get(number, EXIT_SETUP_FAILED))
