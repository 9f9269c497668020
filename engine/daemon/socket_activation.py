"""Take over the sockets that a service manager has opened, sd_listen_fds(3).

They are its own: it made them, with their mode and owner, and goes on listening when we end, so
that no client is refused while a daemon is restarted. What lies at their paths is never ours to
remove.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from engine.daemon.config import ConfigError

FIRST_FD: Final = 3
"""SD_LISTEN_FDS_START."""
_UNNAMED: Final = "unknown"
"""What the manager calls a descriptor without a name."""


@dataclass(frozen=True, slots=True)
class PassedSocket:
    """A socket from the service manager, not yet taken."""

    fd: int
    name: str
    address: str
    """Where it listens; empty unless that is TCP."""

    @property
    def is_tcp(self) -> bool:
        """Return whether the socket may be reached over a network."""
        return bool(self.address)

    def take(self) -> socket.socket:
        """Take the socket."""
        return socket.socket(fileno=self.fd)


def passed_sockets(environment: Mapping[str, str]) -> Iterator[PassedSocket]:
    """Return all sockets that were passed to this process, and hide them from its children. Return
    none if they were meant for another process.

    Raises:
        ConfigError: one is no socket that listens for streams.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return
    count = environment.get("LISTEN_FDS", "")
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    for index in range(int(count) if count.isdigit() else 0):
        name = names[index] if index < len(names) else ""
        yield _passed(FIRST_FD + index, "" if name == _UNNAMED else name)


def _passed(fd: int, name: str) -> PassedSocket:
    where = f"fd://{name or fd}"
    try:
        os.set_inheritable(fd, False)
        with socket.socket(fileno=os.dup(fd)) as peeked:
            listens = peeked.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if peeked.type != socket.SOCK_STREAM or not listens:
                raise ConfigError(f"{where}: not a listening stream socket")
            if peeked.family == socket.AF_UNIX:
                return PassedSocket(fd, name, "")
            return PassedSocket(fd, name, str(peeked.getsockname()[0]))
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}") from error
