"""Find the file of a command in PATH and execute it, with the errors that Docker reports."""

import errno
import os
import signal
import stat
from collections.abc import Iterable
from typing import Final, NoReturn

from engine.runtime.failure import SetupFailed, command_refusal, words

_ANY_EXECUTE: Final = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH

_SIGNALS: Final = tuple(int(number) for number in signal.valid_signals())


def find_executable(command: str, environment: dict[str, str]) -> str:
    """Return the path of a command as the calling process finds it, with its present root, working
    directory and rights.

    Raises:
        SetupFailed: exit code 127 if it does not exist, 126 if it is not an executable file.
    """
    if "/" in command:
        number = _access_errno(command)
        if number == errno.EACCES:
            raise command_refusal(f'exec: "{command}": permission denied', number)
        if number:
            raise command_refusal(f'exec: "{command}": stat {command}: {words(number)}', number)
        return command
    for directory in environment.get("PATH", "").split(":") if command else ():
        path = os.path.join(directory or ".", command)  # noqa: PTH118  (Path would drop the "./")
        if _access_errno(path):
            continue
        if not path.startswith("/"):
            raise SetupFailed(
                f'exec: "{command}": cannot run executable found relative to current directory'
            )
        return path
    raise command_refusal(f'exec: "{command}": executable file not found in $PATH', errno.ENOENT)


def _access_errno(path: str) -> int:
    """Return the errno that prevents executing a file, or 0."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  (lean)
    except OSError as error:
        return error.errno or errno.EIO
    except ValueError:
        return errno.ENOENT  # a NUL byte: no file can have that name
    return 0 if mode & _ANY_EXECUTE and not stat.S_ISDIR(mode) else errno.EACCES


def parse_environment(env: Iterable[str]) -> dict[str, str]:
    """Parse ``NAME=value`` entries; the last one of a name counts, entries without ``=`` are
    ignored.
    """
    pairs = (entry.partition("=") for entry in env)
    return {name: value for name, equals, value in pairs if name and equals}


def restore_signals() -> None:
    """Restore what execve(2) keeps: ignored signals and the mask. signal(7)."""
    for number in _SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def execute(path: str, args: list[str], environment: dict[str, str]) -> NoReturn:
    """Replace this process by the program. execve(2).

    Raises:
        SetupFailed: the kernel can't execute this file for this user.
    """
    try:
        os.execve(path, args, environment)  # noqa: S606  (the purpose of this function)
    except OSError as error:
        number = error.errno or 0
        raise command_refusal(f"exec {path}: {words(number)}", number) from error
    except ValueError as error:
        raise SetupFailed(f"exec {path}: {error}") from error
