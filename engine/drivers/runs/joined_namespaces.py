"""Open the namespaces of a running container for another one to join, namespaces(7)."""

import errno
import os
import select
from collections.abc import Mapping, Sequence
from typing import Final

from engine.domain.container.namespace_sharing import Shared
from engine.domain.container.state import Container
from engine.drivers.processes.identity import open_process
from engine.errors import DriverError

NamespaceOwners = Sequence[tuple[Shared, Container]]
"""Which kind of namespace is whose."""

_FILES: Final[Mapping[Shared, Mapping[str, str]]] = {
    Shared.PID: {"pid": "pid"},
    Shared.IPC: {"ipc": "ipc", "shm": "mnt"},
    Shared.NETWORK: {},
}
"""Shared memory is a filesystem, so who joins an IPC namespace must find the owner's mounts as
well. A network namespace has a pin."""


def open_namespaces(kind: Shared, owner: Container) -> dict[str, int]:
    """The namespaces that go with one kind, under the runtime's names; the descriptors are the
    caller's.

    A descriptor keeps a namespace, whatever becomes of its owner. That they are of exactly this
    process is certain: it still lives when they have been opened, so nobody else can have had its
    pid.

    Raises:
        DriverError: the owner's first process is gone.
    """
    pidfd = open_process(owner.process) if owner.process else None
    if pidfd is None or owner.process is None:
        raise DriverError(f"container {owner.id} is not running")
    opened: dict[str, int] = {}
    try:
        for name, file in _FILES[kind].items():
            path = f"/proc/{owner.process.pid}/ns/{file}"
            opened[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if _has_ended(pidfd):
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    except OSError as error:
        for fd in opened.values():
            os.close(fd)
        raise DriverError(f"container {owner.id} is not running") from error
    finally:
        os.close(pidfd)
    return opened


def _has_ended(pidfd: int) -> bool:
    """A pidfd is readable from the end of its process on, pidfd_open(2)."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
