"""Where the API listens."""

import errno
import grp
import os
import socket
from contextlib import suppress
from pathlib import Path

import trio

from engine.errors import Unavailable

SOCKET_MODE = 0o660


def listen_unix(path: Path, *, mode: int = SOCKET_MODE, group: str = "") -> trio.SocketListener:
    """Listen on a Unix socket, taking the place of one that nobody listens on any more.

    Mode and group are set before ``listen(2)``: until then nobody can connect, so there is no moment of other rights.

    Raises:
        Unavailable: another process listens there, or the path can't be used.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind(listener, path)
        if group:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        path.chmod(mode)
        listener.listen(socket.SOMAXCONN)
    except (OSError, KeyError) as refused:
        listener.close()
        raise Unavailable(f"cannot listen on {path}: {refused}") from refused
    listener.setblocking(False)
    return trio.SocketListener(trio.socket.from_stdlib_socket(listener))


def _bind(listener: socket.socket, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        listener.bind(os.fspath(path))
    except OSError as occupied:
        if occupied.errno != errno.EADDRINUSE or _is_served(path):
            raise
        with suppress(FileNotFoundError):
            path.unlink()
        listener.bind(os.fspath(path))


def _is_served(path: Path) -> bool:
    if not path.is_socket():
        return True  # not a socket of anybody's: never ours to remove
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(os.fspath(path)) != errno.ECONNREFUSED
