"""Set the limits of the daemon's own process: open files, and what its allocator keeps."""

import resource
from contextlib import suppress
from typing import Final

from engine.runtime import linux

MMAP_THRESHOLD_BYTES: Final = 256 << 10
TRIM_THRESHOLD_BYTES: Final = 512 << 10


def raise_descriptor_limit() -> tuple[int, int]:
    """Raise the soft limit of descriptors to the hard one; return both as they were. getrlimit(2).

    The soft limit is usually 1,024, for programs that use select(2); a daemon with a thousand
    attached clients needs more. What the daemon starts keeps the limit that it was started with.
    """
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(
        ValueError, OSError
    ):  # a hard limit beyond fs.nr_open can't be set, not even again
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    return limits


def bound_allocator() -> None:
    """Make the C library return memory to the kernel. Call before any thread is started.

    By default each of the threads that come and go may get an arena of its own, and a large block,
    such as a hash table of Python's that grows, is cut out of an arena for ever once one of its
    size has been freed: glibc raises the threshold of mmap(2) then. That took 1.8 MB every thousand
    to two thousand lives of containers. Setting the threshold keeps it where it is.
    """
    linux.mallopt(linux.M_ARENA_MAX, 1)
    linux.mallopt(linux.M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
    linux.mallopt(linux.M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
