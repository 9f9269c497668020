"""Limit the number of descriptors left: code that fails with EMFILE must close what it had
opened.
"""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

ROOM: Final = 64
MOST: Final = 40
"""More descriptors than any tested code needs at once."""


def open_descriptors() -> frozenset[int]:
    """Return the test process's descriptors, found without opening one."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return frozenset(fd for fd in range(min(limit, 4096)) if _is_open(fd))


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@contextmanager
def left(count: int) -> Iterator[None]:
    """Allow exactly this many more descriptors for the block."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = max(open_descriptors()) + ROOM
    null_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    filling = [null_fd]
    try:
        filling += _all_there_are(null_fd)
        for fd in filling[len(filling) - count :]:
            os.close(fd)
        del filling[len(filling) - count :]
        yield
    finally:
        for fd in filling:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _all_there_are(fd: int) -> Iterator[int]:
    while True:
        try:
            yield os.dup(fd)
        except OSError as error:
            if error.errno != errno.EMFILE:
                raise
            return


def assert_nothing_leaks(act: Callable[[], object], *expected: type[Exception]) -> int:
    """Call a function with no descriptor left, with one, with two … until it succeeds.

    Returns how many it needs.

    Args:
        act: closes what it has opened when it succeeds.
        expected: what it may raise besides OSError.
    """
    failures: tuple[type[Exception], ...] = (OSError, *expected)
    for count in range(MOST):
        before = open_descriptors()
        with left(count):
            try:
                act()
                succeeded = True
            except failures:
                succeeded = False
        leaked = open_descriptors() - before
        assert not leaked, f"with {count} descriptors left, {len(leaked)} stay open"
        if succeeded:
            return count
    raise AssertionError(f"does not succeed with {MOST} descriptors")
