"""Where clients come in: Unix sockets, loopback ports, and sockets that systemd has opened."""

import contextlib
import grp
import os
import socket
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import trio

from engine.daemon.config import ConfigError

BACKLOG: Final = 512
_FIRST_PASSED_FD: Final = 3
"""SD_LISTEN_FDS_START, sd_listen_fds(3)."""


def open_listeners(hosts: tuple[str, ...], group: str) -> list[trio.SocketListener]:
    """Listen on every host, or on none.

    Raises:
        ConfigError: one of them can't be listened on.
    """
    with contextlib.ExitStack() as undo:
        opened: list[socket.socket] = []
        for host in hosts:
            opened.extend(undo.enter_context(each) for each in _open(host, group))
        undo.pop_all()
    return [trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in opened]


def _open(host: str, group: str) -> list[socket.socket]:
    parts = urlsplit(host)
    try:
        match parts.scheme:
            case "unix":
                return [_unix(Path(host.removeprefix("unix://")), group)]
            case "tcp":
                return [
                    socket.create_server(
                        (parts.hostname or "127.0.0.1", parts.port or 2375), backlog=BACKLOG
                    )
                ]
            case _:
                return _passed()
    except OSError as error:
        raise ConfigError(f"listen on {host}: {error.strerror or error}") from error


def _unix(path: Path, group: str) -> socket.socket:
    """A socket for root, and for a group's members if one is named. A dead daemon's socket makes room."""
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    if path.is_socket():
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    if group:
        os.chown(path, 0, _group_id(group))
    path.chmod(0o660)
    listener.listen(BACKLOG)
    return listener


def _group_id(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ConfigError(f"socket_group: there is no group {group!r}") from error


def _passed() -> list[socket.socket]:
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise ConfigError("fd://: no sockets were passed, sd_listen_fds(3)")
    count = int(os.environ.get("LISTEN_FDS", "0"))
    return [socket.socket(fileno=fd) for fd in range(_FIRST_PASSED_FD, _FIRST_PASSED_FD + count)]
