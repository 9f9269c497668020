"""Open the files of a run for its monitor: lock, journal, log and socket.

The daemon opens them and passes the descriptors, so that any error is an answer to the client, and
a monitor starts with everything it needs. The lock is taken here and is held without a gap:
flock(2) belongs to the open file, not to the process, and ends with the last copy of the
descriptor.
"""

import fcntl
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from engine.drivers.runs.joined_namespaces import NamespaceOwners, open_namespaces
from engine.drivers.runs.launch_orders import PlannedRun
from engine.errors import DriverError
from engine.runtime.control import CONNECTIONS_MAX
from engine.runtime.messages import LOCK_NAME, SOCKET_NAME, Attachment


class BundleLocked(DriverError):
    """A monitor holds the lock of this bundle."""


class RunHasHappened(DriverError):
    """The journal of this run has a record already: its monitor has ended."""


class RunFiles(NamedTuple):
    """Open descriptors: those of ``LaunchDescriptors`` but the first."""

    lock_fd: int
    journal_fd: int
    log_fd: int
    listener_fd: int


class OpenRun:
    """The order and the files of a run that is being launched, open until this is closed."""

    def __init__(
        self, planned: PlannedRun, attachments: Sequence[Attachment], owners: NamespaceOwners = ()
    ) -> None:
        """Open the files; block for as long as the disk takes to make two of them.

        Raises:
            BundleLocked: the bundle has a monitor.
            RunHasHappened: there was one, for this run.
            DriverError: a file can't be opened.
        """
        with ExitStack() as stack:
            try:
                joined = _open_joined(owners, stack)
                self.files = _open_files(planned, stack)
            except OSError as error:
                raise DriverError(f"open the run of {planned.order.bundle}: {error}") from error
            self.order = planned.order._replace(attachments=list(attachments), joined=list(joined))
            self.joined_fds = tuple(joined.values())
            self._opened = stack.pop_all()

    def close(self) -> None:
        """Close our copies; the monitor has its own."""
        self._opened.close()


def _open_joined(owners: NamespaceOwners, stack: ExitStack) -> dict[str, int]:
    opened: dict[str, int] = {}
    for kind, owner in owners:
        for name, fd in open_namespaces(kind, owner).items():
            stack.callback(os.close, fd)
            opened[name] = fd
    return opened


def _open_files(planned: PlannedRun, stack: ExitStack) -> RunFiles:
    bundle, log = Path(planned.order.bundle), planned.order.log
    lock_fd = _open(stack, bundle / LOCK_NAME, os.O_RDWR)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BundleLocked(f"container {bundle.name} has a monitor") from error
    journal_fd = _open(stack, planned.journal, os.O_RDWR | os.O_APPEND)
    if os.fstat(journal_fd).st_size:
        raise RunHasHappened(f"{planned.journal} of container {bundle.name} is not empty")
    log_path = log["path"] if log["is_kept"] else os.devnull
    log_fd = _open(stack, Path(log_path), os.O_WRONLY | os.O_APPEND, 0o640)
    listener = stack.enter_context(_listen(bundle))
    return RunFiles(lock_fd, journal_fd, log_fd, listener.fileno())


def _open(stack: ExitStack, path: Path, flags: int, mode: int = 0o600) -> int:
    fd = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, mode)
    stack.callback(os.close, fd)
    return fd


def _listen(bundle: Path) -> socket.socket:
    """Bind the monitor's socket, replacing a dead monitor's; only root can connect. We hold the
    lock, so no other process binds it.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    with suppress(FileNotFoundError):
        (bundle / SOCKET_NAME).unlink()
    # By a short path: the address of a socket has 108 bytes, unix(7).
    directory_fd = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fchmod(listener.fileno(), 0o600)  # before bind(2), which gives the file this mode
        listener.bind(f"/proc/self/fd/{directory_fd}/{SOCKET_NAME}")
        listener.listen(CONNECTIONS_MAX)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(directory_fd)
    return listener
