"""Wait for conditions, with a deadline that exists to end a hang and not to measure anything."""

import errno
import os
import select
import time
from collections.abc import Callable
from typing import TypeVar

from tests.timeouts import patient

T = TypeVar("T")

POLL_S = 0.01


class NeverHappened(AssertionError):
    """The deadline passed; the message says what was waited for and what was found instead."""


def eventually(
    look: Callable[[], T],
    what: str,
    *,
    within_s: float = 10.0,
    catch: type[Exception] | None = None,
) -> T:
    """Return the first truthy value of ``look``.

    Args:
        look: called repeatedly; its last value is shown at the deadline.
        what: a sentence for the reader of the failure.
        within_s: in seconds of an ordinary machine.
        catch: an exception that means "not yet".
    """
    deadline = time.monotonic() + patient(within_s)
    while True:
        last: object
        try:
            if found := look():
                return found
            last = found
        except Exception as error:
            if catch is None or not isinstance(error, catch):
                raise
            last = error
        if time.monotonic() > deadline:
            raise NeverHappened(f"not within {within_s} s: {what}; last seen: {last!r}")
        time.sleep(POLL_S)


def settled(problems: Callable[[], list[str]], *, within_s: float = 10.0) -> None:
    """Wait until there are no problems any more; fail with those that remain."""
    deadline = time.monotonic() + patient(within_s)
    while found := problems():
        if time.monotonic() > deadline:
            raise NeverHappened(f"after {within_s} s still: " + "; ".join(found))
        time.sleep(POLL_S)


def ended(pidfd: int, *, within_s: float = 10.0) -> bool:
    """Return whether a process ends in time; closes its pidfd."""
    try:
        return bool(select.select([pidfd], [], [], patient(within_s))[0])
    finally:
        os.close(pidfd)


def wait_until_gone(pid: int, *, within_s: float = 10.0) -> None:
    """Return when a process, which may be gone already, has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a process that is being reaped, before Linux 6.9
            raise
        return
    assert ended(pidfd, within_s=within_s), f"process {pid} does not end"
