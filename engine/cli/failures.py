"""Define the ways in which a command can fail. Every verb imports this."""

from typing import Final

EXIT_ENGINE: Final = 125
"""``run`` could not start the container: the engine or the client refused. 126 and 127 are about
the program, as in a shell.
"""
EXIT_NOT_EXECUTABLE: Final = 126
EXIT_NOT_FOUND: Final = 127


class Failure(Exception):
    """The base class of errors that end a command with a message on standard error and an exit
    code; ``str(failure)`` is the whole message.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UsageError(Failure):
    """The command line is wrong: the verb's usage is shown below the message."""

    def __init__(self, message: str, exit_code: int = EXIT_ENGINE) -> None:
        super().__init__(message, exit_code)


class Unreachable(Failure):
    """The engine's address does not answer, or the connection broke before the answer was
    complete.
    """


class EngineRefused(Failure):
    """The engine answered with an error: ``status`` is HTTP's, ``reason`` the engine's message."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"Error response from daemon: {reason}")
        self.status = status
        self.reason = reason
