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

from engine.drivers.processes.identity import boot_id
from engine.drivers.runs.joined_namespaces import NamespaceOwners, open_namespaces
from engine.errors import DriverError
from engine.runtime.bundle import read_bundle
from engine.runtime.control import CONNECTIONS_MAX
from engine.runtime.messages import LOCK_NAME, SOCKET_NAME, Attachment, LaunchOrder


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
    """All that a monitor of this bundle needs, open until this is closed."""

    def __init__(
        self, bundle: Path, attachments: Sequence[Attachment], owners: NamespaceOwners = ()
    ) -> None:
        """Blocks for as long as the disk takes to make two files.

        Raises:
            BundleLocked: the bundle has a monitor.
            RunHasHappened: there was one, for this run.
            DriverError: a file can't be read or opened.
        """
        with ExitStack() as stack:
            try:
                joined = _open_joined(owners, stack)
                order, self.files = _open_run(bundle, attachments, stack)
                self.order = order._replace(joined=list(joined))
                self.joined_fds = tuple(joined.values())
            except (OSError, KeyError, ValueError) as error:
                raise DriverError(f"open the run of {bundle.name}: {error}") from error
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


def _open_run(
    bundle: Path, attachments: Sequence[Attachment], stack: ExitStack
) -> tuple[LaunchOrder, RunFiles]:
    config, monitor = read_bundle(str(bundle))[1:]
    lock_fd = _open(stack, bundle / LOCK_NAME, os.O_RDWR)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BundleLocked(f"container {bundle.name} has a monitor") from error
    journal_fd = _open(stack, Path(monitor["journal_path"]), os.O_RDWR | os.O_APPEND)
    if os.fstat(journal_fd).st_size:
        raise RunHasHappened(f"run {monitor['run']} of container {bundle.name} has happened")
    log = monitor.get("log", {})
    log_path = monitor["log_path"] if log.get("is_kept", True) else os.devnull
    log_fd = _open(stack, Path(log_path), os.O_WRONLY | os.O_APPEND, 0o640)
    listener = stack.enter_context(_listen(bundle))
    namespaces = config.get("linux", {}).get("namespaces", [])
    order = LaunchOrder(
        bundle=str(bundle),
        boot_id=boot_id(),
        tty=monitor.get("tty", False),
        open_stdin=monitor.get("open_stdin", False),
        stdin_once=monitor.get("stdin_once", False),
        namespaces=[namespace for namespace in namespaces if namespace["type"] == "pid"],
        cgroup_into=monitor.get("cgroup_into", ""),
        cgroup_procs=monitor.get("cgroup_procs", []),
        oom_counters=monitor.get("oom_counters", []),
        attachments=list(attachments),
        log=log,
    )
    return order, RunFiles(lock_fd, journal_fd, log_fd, listener.fileno())


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
