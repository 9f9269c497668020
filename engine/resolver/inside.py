"""Open sockets in another network namespace, network_namespaces(7).

This process has one thread and nothing runs while it is away, so it goes there and comes back;
starting a thread for each socket would take twenty times as long. One that can't come back ends on
the spot: its next socket would be a stranger's.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from engine.runtime import linux

_OWN: Final = "/proc/self/ns/net"


class Namespaces:
    """Where this process is at home."""

    def __init__(self) -> None:
        self._home_fd = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def inside(self, namespace_fd: int | None) -> Iterator[None]:
        """Be in a network namespace for as long as it takes to make a socket; None is at home.

        Raises:
            OSError: EINVAL: it is no network namespace.
        """
        if namespace_fd is None:
            yield
            return
        linux.setns(namespace_fd, linux.CLONE_NEWNET)
        try:
            yield
        finally:
            try:
                linux.setns(self._home_fd, linux.CLONE_NEWNET)
            except BaseException:
                os._exit(1)
