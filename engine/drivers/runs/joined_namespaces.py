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
"""Each kind of joined namespace, with its owner."""

_FILES: Final[Mapping[Shared, Mapping[str, str]]] = {
    Shared.PID: {"pid": "pid"},
    Shared.IPC: {"ipc": "ipc", "shm": "mnt"},
    Shared.NETWORK: {},
}
"""Shared memory is a file system, so a container that joins an IPC namespace needs the owner's
mount namespace as well. A network namespace has a pin.
"""


def open_namespaces(kind: Shared, owner: Container) -> dict[str, int]:
    """Open the namespaces that belong to one kind, under the runtime's names; the caller closes the
    descriptors.

    A descriptor keeps a namespace alive after its owner's end. They belong to exactly this process:
    it is still alive after they have been opened, so its pid was not reused.

    Raises:
        DriverError: the owner's first process has ended.
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
    """True if the process has ended: then its pidfd is readable, pidfd_open(2)."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
