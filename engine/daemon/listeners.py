"""Where clients come in: Unix sockets, loopback ports, and sockets that systemd has opened."""

import contextlib
import os
import socket
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import trio

from engine.api.sockets import listen_unix
from engine.daemon.config import ConfigError

BACKLOG: Final = 512
DEFAULT_PORT: Final = 2375
_FIRST_PASSED_FD: Final = 3
"""SD_LISTEN_FDS_START, sd_listen_fds(3)."""


def open_listeners(hosts: tuple[str, ...], group: str) -> list[trio.SocketListener]:
    """Listen on every host, or on none.

    Raises:
        ConfigError: one of them can't be listened on.
    """
    with contextlib.ExitStack() as undo:
        opened: list[trio.SocketListener] = []
        for host in hosts:
            for listener in _open(host, group):
                undo.callback(listener.socket.close)
                opened.append(listener)
        undo.pop_all()
    return opened


def _open(host: str, group: str) -> list[trio.SocketListener]:
    parts = urlsplit(host)
    try:
        match parts.scheme:
            case "unix":
                return [listen_unix(Path(host.removeprefix("unix://")), group=group)]
            case "tcp":
                address = (parts.hostname or "127.0.0.1", parts.port or DEFAULT_PORT)
                return [_listener(socket.create_server(address, backlog=BACKLOG))]
            case _:
                return _passed()
    except OSError as error:
        raise ConfigError(f"listen on {host}: {error.strerror or error}") from error


def _listener(bound: socket.socket) -> trio.SocketListener:
    return trio.SocketListener(trio.socket.from_stdlib_socket(bound))


def _passed() -> list[trio.SocketListener]:
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise ConfigError("fd://: no sockets were passed, sd_listen_fds(3)")
    count = int(os.environ.get("LISTEN_FDS", "0"))
    fds = range(_FIRST_PASSED_FD, _FIRST_PASSED_FD + count)
    return [_listener(socket.socket(fileno=fd)) for fd in fds]
