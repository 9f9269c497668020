"""Identify processes beyond their pid, and test whether a monitor is alive.

A pid is a rumour: it may be another process's by now. A process is its pid, when it began and which
boot that was; held by a pidfd it can be signalled without doubt.
"""

import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.domain.container.events import ProcessIdentity
from engine.errors import DriverError
from engine.runtime.messages import LOCK_NAME
from engine.runtime.process_stat import process_stat


def boot_id() -> str:
    """Which boot of the machine this is: random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def open_process(identity: ProcessIdentity) -> int | None:
    """A pidfd of exactly this process, the caller's to close; None when it is gone. A zombie is not
    gone yet.

    Raises:
        DriverError: no more descriptors.
    """
    if identity.boot_id != boot_id():
        return None
    try:
        # Before reading the start time: the process that has it then began earlier, and had the pid
        # here, too.
        pidfd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    except OSError as error:
        raise DriverError(f"open process {identity.pid}") from error
    stat = process_stat(identity.pid)
    if stat is not None and stat.start_ticks == identity.start_ticks:
        return pidfd
    os.close(pidfd)
    return None


def process_alive(identity: ProcessIdentity) -> bool:
    """Whether exactly this process still executes: a zombie does not."""
    if identity.boot_id != boot_id():
        return False
    stat = process_stat(identity.pid)
    return stat is not None and stat.start_ticks == identity.start_ticks and not stat.has_ended


def signal_process(identity: ProcessIdentity, signum: int) -> bool:
    """Send a signal to exactly this process; False when it is gone already.

    Raises:
        DriverError: the kernel refuses.
    """
    pidfd = open_process(identity)
    if pidfd is None:
        return False
    try:
        signal.pidfd_send_signal(pidfd, signum)
    except ProcessLookupError:  # gone in between, which is what a signal could have asked for
        return False
    except OSError as error:
        raise DriverError(f"send signal {signum} to process {identity.pid}") from error
    finally:
        os.close(pidfd)
    return True


@contextmanager
def held(identity: ProcessIdentity) -> Iterator[Callable[[], bool]]:
    """Hold a pidfd of exactly this process for a block.

    A pidfd doesn't keep the pid from being given to another process once this one has been reaped.
    Whatever was opened by the pid is therefore this process's only if it is there afterwards.

    Yields:
        What tells whether it is there still, so that its pid is its own.
    """
    pidfd = open_process(identity)
    try:
        yield lambda: pidfd is not None and _is_there(pidfd)
    finally:
        if pidfd is not None:
            os.close(pidfd)


def _is_there(pidfd: int) -> bool:
    """Tell whether a process has not been reaped: pidfd_send_signal(2) with no signal."""
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return False
    return True


def monitor_alive(bundle: Path) -> bool:
    """Whether a monitor holds the lock of a bundle: whether a run of it is still to be concluded.

    Asked with a shared lock, which never stands in a monitor's way for longer than this takes.

    Raises:
        DriverError: the lock can't be tried.
    """
    try:
        lock_fd = os.open(bundle / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:  # not a directory, no more descriptors: nobody can tell
        raise DriverError(f"open the lock of {bundle}: {error.strerror}") from error
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EINTR):
            return True
        raise DriverError(f"lock {bundle}") from error
    finally:
        os.close(lock_fd)
    return False
