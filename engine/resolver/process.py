"""Run the resolver process: its lock, its socket, its signals. The daemon starts it like the
launcher, from the sealed interpreter.
"""

import contextlib
import fcntl
import os
import signal
import socket
from typing import Final

from engine.resolver.control import Resolver
from engine.runtime import linux

PROCESS_NAME: Final = "sl-resolver"
SOCKET_NAME: Final = "control.sock"
LOCK_NAME: Final = "lock"
OOM_SCORE_ADJ: Final = "-900"
"""All containers depend on it; the kernel should kill one of them instead."""
_LAST_FD: Final = 0x7FFF_FFFF
_BACKLOG: Final = 8
_IGNORED: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGPIPE,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
"""Sent by a terminal or by mistake: the resolver ends when it is not needed, or is ordered to.
SIGTERM is for the administrator.
"""


def main(directory: str, edition: str, ready_number: str) -> None:
    """Serve in a directory until no longer needed. Closes ``ready`` when clients can connect.

    One process at a time holds the lock: an earlier one may still be ending. Its socket can then be
    replaced.
    """
    ready_fd = int(ready_number)
    os.closerange(3, ready_fd)
    linux.close_range(ready_fd + 1, _LAST_FD)
    linux.set_process_name(PROCESS_NAME)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    lock_fd = os.open(LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=directory_fd)
    fcntl.flock(lock_fd, fcntl.LOCK_EX)
    _protect()
    with _listen(directory_fd) as control:
        os.close(ready_fd)
        _close_stdio()
        Resolver(edition).serve(control)


def _listen(directory_fd: int) -> socket.socket:
    # of any length: unix(7) has room for 107 bytes
    path = f"/proc/self/fd/{directory_fd}/{SOCKET_NAME}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108  (lean)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    os.fchmod(listener.fileno(), 0o600)  # before bind(2), which gives the file this mode
    listener.bind(path)
    listener.listen(_BACKLOG)
    return listener


def _protect() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123  (lean)
            file.write(OOM_SCORE_ADJ)
    except OSError:
        return  # without CAP_SYS_RESOURCE


def _close_stdio() -> None:
    """Replace stdio by the null device. Until now, errors were written to the daemon's own stderr,
    which must not be kept open.
    """
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for stdio_fd in range(3):
        os.dup2(null_fd, stdio_fd)
    os.close(null_fd)
