"""Identify processes beyond their pid, and test whether a monitor is alive.

A pid may be reused by another process. A process is identified by its pid, its start time and the
boot; a pidfd makes sure that a signal reaches exactly this process.
"""

import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from engine.domain.container.events import ProcessIdentity
from engine.errors import DriverError
from engine.runtime.messages import LOCK_NAME
from engine.runtime.process_stat import process_stat


@cache
def boot_id() -> str:
    """Return the ID of the present boot: random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def open_process(identity: ProcessIdentity) -> int | None:
    """Return a pidfd of exactly this process, which the caller closes; None if it is gone. A zombie
    is not gone yet.

    Raises:
        DriverError: there are no more descriptors.
    """
    if identity.boot_id != boot_id():
        return None
    try:
        # Before reading the start time: a process found then with this start time also had the pid
        # when the pidfd was opened.
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
    """True if exactly this process still executes: a zombie does not."""
    if identity.boot_id != boot_id():
        return False
    stat = process_stat(identity.pid)
    return stat is not None and stat.start_ticks == identity.start_ticks and not stat.has_ended


def signal_process(identity: ProcessIdentity, signum: int) -> bool:
    """Send a signal to exactly this process; return False if it has ended already.

    Raises:
        DriverError: the kernel refuses.
    """
    pidfd = open_process(identity)
    if pidfd is None:
        return False
    try:
        signal.pidfd_send_signal(pidfd, signum)
    except ProcessLookupError:  # it has just ended
        return False
    except OSError as error:
        raise DriverError(f"send signal {signum} to process {identity.pid}") from error
    finally:
        os.close(pidfd)
    return True


@contextmanager
def held(identity: ProcessIdentity) -> Iterator[Callable[[], bool]]:
    """Hold a pidfd of exactly this process for a block.

    A pidfd doesn't keep the pid from being reused once the process has been reaped. So what was
    opened by the pid belongs to this process only if the process is still there afterwards.

    Yields:
        A function that returns whether the process is still there, so that the pid is its own.
    """
    pidfd = open_process(identity)
    try:
        yield lambda: pidfd is not None and _is_there(pidfd)
    finally:
        if pidfd is not None:
            os.close(pidfd)


def _is_there(pidfd: int) -> bool:
    """True if a process has not been reaped: pidfd_send_signal(2) with no signal."""
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return False
    return True


def monitor_alive(bundle: Path) -> bool:
    """True if a monitor holds the lock of a bundle, so its run has not been concluded.

    Tested with a shared lock, which never blocks a monitor for longer than this call takes.

    Raises:
        DriverError: the lock can't be tested.
    """
    try:
        lock_fd = os.open(f"{bundle}/{LOCK_NAME}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:  # not a directory, or no more descriptors: the answer is unknown
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
