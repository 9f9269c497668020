"""The daemon's own limit of open files: as high as it may be, while the processes that it starts keep the one it was started with."""

import resource
from contextlib import suppress


def raise_descriptor_limit() -> tuple[int, int]:
    """Raise the soft limit of descriptors to the hard one, and return both as they were. getrlimit(2).

    The soft limit is usually 1,024, for programs that use select(2); a daemon with a thousand attached clients needs more.
    """
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(
        ValueError, OSError
    ):  # a hard limit beyond fs.nr_open can't be set, not even again
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    return limits
