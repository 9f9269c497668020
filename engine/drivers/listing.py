"""List directories of the engine's own, even if another program has replaced or locked them.

A directory that can't be listed counts as empty, so that one broken entry does not stop the
inspection of all others. The caller must allow for that: objects missing from such a listing look
absent, and are then observed one by one.
"""

import os
from functools import lru_cache
from pathlib import Path

import structlog

log = structlog.get_logger()


def names_in(directory: Path) -> tuple[str, ...]:
    """Return the names in a directory, sorted. A directory that can't be listed is reported and
    counts as empty.
    """
    try:
        return tuple(sorted(os.listdir(directory)))  # noqa: PTH208  (names, not paths)
    except FileNotFoundError:
        return ()
    except OSError as error:
        report(directory, error.strerror or str(error))
        return ()


@lru_cache(maxsize=256)
def report(path: Path, problem: str) -> None:
    """Log a problem with a path.

    The cache makes that once for each problem, however often it is looked at.
    """
    log.warning("path_ignored", path=str(path), error=problem)
