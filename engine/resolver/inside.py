"""Open sockets in another network namespace, network_namespaces(7).

This process has one thread, so it enters the namespace and comes back; starting a thread for each
socket would take twenty times as long. If it can't come back, it exits at once: its next socket
would be in the wrong namespace.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from engine.runtime import linux

_OWN: Final = "/proc/self/ns/net"


class Namespaces:
    """Enters other network namespaces from this process's own."""

    def __init__(self) -> None:
        self._home_fd = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def inside(self, namespace_fd: int | None) -> Iterator[None]:
        """Enter a network namespace for a block that opens a socket; None stays in the process's
        own.

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
