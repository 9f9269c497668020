"""List directories of the engine's own, which somebody may have replaced or locked.

A directory that can't be listed counts as empty, so that one broken place does not stop the look at
all the others. The caller must be able to live with that: what is compared with such a listing
looks absent, and is looked at by itself.
"""

import os
from functools import lru_cache
from pathlib import Path

import structlog

log = structlog.get_logger()


def names_in(directory: Path) -> tuple[str, ...]:
    """Return the names in a directory, in order. One that can't be listed is reported and empty."""
    try:
        return tuple(sorted(os.listdir(directory)))  # noqa: PTH208  (names, not paths)
    except FileNotFoundError:
        return ()
    except OSError as error:
        report(directory, error.strerror or str(error))
        return ()


@lru_cache(maxsize=256)
def report(path: Path, problem: str) -> None:
    """Log what is wrong with a path.

    The cache makes that once for each problem, however often it is looked at.
    """
    log.warning("path_ignored", path=str(path), error=problem)
