"""Open the sockets of the API: Unix, TCP, and those that systemd has opened.

Whoever comes in is root on this machine, more or less. So a TCP port wants a certificate of each
client (``--tlsverify``); without one it may be on a loopback address, and elsewhere only if that
was said in so many words.
"""

import contextlib
import grp
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
import trio

from engine.api.http.sockets import Entrance, listen_unix
from engine.daemon.config import (
    DEFAULT_GROUP,
    DEFAULT_HOST,
    Config,
    ConfigError,
    check_exposure,
    tcp_address,
)
from engine.daemon.socket_activation import PassedSocket, passed_sockets
from engine.errors import EngineError

if TYPE_CHECKING:
    import ssl

BACKLOG: Final = 512
PLAIN_PORT: Final = 2375
TLS_PORT: Final = 2376

_log = structlog.get_logger()


@dataclass(slots=True)
class Listeners:
    """The opened sockets."""

    entrances: list[Entrance] = field(default_factory=list)
    _made: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Sockets in the file system that are ours: device and inode."""

    def made(self, path: Path) -> None:
        """Note a socket to be removed at the end."""
        status = path.stat()
        self._made[path] = (status.st_dev, status.st_ino)

    def remove_sockets(self) -> None:
        """Remove the sockets that we made, unless another daemon has put its own there."""
        for path, made in self._made.items():
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if (status.st_dev, status.st_ino) == made:
                    path.unlink()

    def close(self) -> None:
        """Close and remove everything."""
        self.remove_sockets()
        for entrance in self.entrances:
            os.close(entrance.listener.socket.detach())  # nobody waits for it yet


def open_listeners(config: Config, environment: Mapping[str, str] = os.environ) -> Listeners:
    """Listen on every host, or on none.

    Raises:
        ConfigError: one of them can't be listened on, or would admit everybody.
    """
    listeners = Listeners()
    try:
        tls = _tls_context(config)
        passed = list(passed_sockets(environment))
        for host in _hosts(config, passed):
            for entrance in _open(host, config, tls, passed, listeners):
                listeners.entrances.append(entrance)
    except BaseException:
        listeners.close()
        raise
    return listeners


def _hosts(config: Config, passed: list[PassedSocket]) -> tuple[str, ...]:
    """Replace the default host by sockets that were passed: a unit beside the service's may have
    made it.
    """
    return ("fd://",) if passed and config.hosts == (DEFAULT_HOST,) else config.hosts


def _tls_context(config: Config) -> "ssl.SSLContext | None":
    if not config.uses_tls:
        return None
    from engine.api.http.tls import TlsFiles, server_context  # few daemons listen to a network

    authority = config.tlscacert if config.tlsverify else None
    files = TlsFiles(certificate=config.tlscert, key=config.tlskey, authority=authority)
    try:
        return server_context(files)
    except EngineError as error:
        raise ConfigError(str(error)) from error


def _open(
    host: str,
    config: Config,
    tls: "ssl.SSLContext | None",
    passed: list[PassedSocket],
    listeners: Listeners,
) -> Iterator[Entrance]:
    try:
        scheme, _, rest = host.partition("://")
        match scheme:
            case "unix":
                path = Path(rest)
                listener = listen_unix(path, group=_group(config.socket_group))
                listeners.made(path)
                yield Entrance(listener)
            case "tcp":
                address = tcp_address(host, TLS_PORT if tls else PLAIN_PORT)
                _warn(host, config)
                yield Entrance(_listener(_bound(address)), tls)
            case _:
                for each in _meant(rest, passed):
                    if each.is_tcp:
                        check_exposure(host, each.address, config)
                        _warn(host, config)
                    yield Entrance(_listener(each.take()), tls if each.is_tcp else None)
    except OSError as error:
        raise ConfigError(f"listen on {host}: {error.strerror or error}") from error
    except ConfigError:
        raise
    except EngineError as error:
        raise ConfigError(str(error)) from error


def _group(name: str) -> str:
    """Return the socket's group, as dockerd: the default one may be missing, a configured one may
    not.
    """
    if name != DEFAULT_GROUP:
        return name
    try:
        grp.getgrnam(name)
    except KeyError:
        _log.info("socket_group_missing", group=name)
        return ""
    return name


def _bound(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return socket.create_server(address, family=family, backlog=BACKLOG)


def _warn(host: str, config: Config) -> None:
    if not config.tlsverify:
        _log.warning("tcp_unauthenticated", host=host, encrypted=config.uses_tls)


def _meant(name: str, passed: list[PassedSocket]) -> list[PassedSocket]:
    """Return the passed sockets that ``fd://`` means: all, those of a name, or the one of a
    number.
    """
    if not passed:
        raise ConfigError("fd://: no sockets were passed, sd_listen_fds(3)")
    if name in ("", "*"):
        return passed
    found = [each for each in passed if name in (each.name, str(each.fd))]
    if not found:
        names = ", ".join(each.name or str(each.fd) for each in passed)
        raise ConfigError(f"fd://{name}: no socket of this name was passed, but {names}")
    return found


def _listener(bound: socket.socket) -> trio.SocketListener:
    bound.setblocking(False)
    return trio.SocketListener(trio.socket.from_stdlib_socket(bound))
