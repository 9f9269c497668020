"""Waiting for a condition, with a deadline that is there to end a hang and not to measure
anything.
"""

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
    """The deadline came first; the message says what was waited for and what was there instead."""


def eventually(
    look: Callable[[], T],
    what: str,
    *,
    within_s: float = 10.0,
    catch: type[Exception] | None = None,
) -> T:
    """The first truthy value of ``look``.

    Args:
        look: asks again each time; its last value is shown when time is up.
        what: a sentence for the person who reads the failure.
        within_s: of an ordinary machine.
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
    """Return when there are no problems any more; fail with those that stay."""
    deadline = time.monotonic() + patient(within_s)
    while found := problems():
        if time.monotonic() > deadline:
            raise NeverHappened(f"after {within_s} s still: " + "; ".join(found))
        time.sleep(POLL_S)


def ended(pidfd: int, *, within_s: float = 10.0) -> bool:
    """Whether a process ends in time; closes its pidfd."""
    try:
        return bool(select.select([pidfd], [], [], patient(within_s))[0])
    finally:
        os.close(pidfd)


def wait_until_gone(pid: int, *, within_s: float = 10.0) -> None:
    """Return when a process that may be gone already has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError as error:
        if error.errno != errno.EINVAL:  # of one that is being reaped, before Linux 6.9
            raise
        return
    assert ended(pidfd, within_s=within_s), f"process {pid} does not end"
