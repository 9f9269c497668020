"""Open the sockets on which the API listens."""

import errno
import grp
import os
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from engine.errors import Unavailable

SOCKET_MODE = 0o660
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 9),
)
"""Seconds and probes as in Go's servers: a client whose machine is gone is noticed in less than
three minutes. tcp(7)."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """A listener, and whether its clients must use TLS."""

    listener: trio.SocketListener
    tls: ssl.SSLContext | None = None


def keep_alive(connection: trio.socket.SocketType) -> None:
    """Make the kernel check now and then whether a client is still there, whoever has the
    connection.
    """
    if connection.family != socket.AF_UNIX:
        for option in _KEEP_ALIVE:
            connection.setsockopt(*option)


def listen_unix(path: Path, *, mode: int = SOCKET_MODE, group: str = "") -> trio.SocketListener:
    """Listen on a Unix socket, replacing one that nobody listens on any more.

    Mode and group are set before ``listen(2)``: until then nobody can connect, so there is no
    moment of other rights.

    Raises:
        Unavailable: another process listens there, or the path can't be used.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        group_id = grp.getgrnam(group).gr_gid if group else -1
        _bind(listener, path)
        os.chown(path, -1, group_id)
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
        return True  # not a socket: never ours to remove
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(os.fspath(path)) != errno.ECONNREFUSED
