"""Ask the kernel whether directories or mounts have changed: inotify(7), proc_pid_mountinfo(5).

A notice says that something may have changed, never what. Watch first and inspect afterwards: a
change meanwhile is then either found or reported.
"""

import os
import select
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.drivers.listing import report
from engine.runtime import linux

_ENTRIES: Final = linux.IN_CREATE | linux.IN_DELETE | linux.IN_MOVED_FROM | linux.IN_MOVED_TO
_ITSELF: Final = linux.IN_DELETE_SELF | linux.IN_MOVE_SELF
_MASK: Final = _ENTRIES | _ITSELF | linux.IN_ONLYDIR
_EVENTS_BYTES: Final = 1 << 16
_MOUNTINFO: Final = "/proc/self/mountinfo"


class DirectoryWatch:
    """Reports whether entries of directories were created or deleted."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._watches: dict[str, int] = {}
        self._absent: list[str] = []
        self._is_complete = False

    def watch(self, paths: Collection[str]) -> None:
        """Watch these directories and no others.

        A directory that does not exist may be created later. Where the kernel has no more watches
        to give, everything counts as changed each time.
        """
        before = set(self._watches.values())
        self._watches, self._absent = {}, []
        self._is_complete = True
        for path in paths:
            self._add(path)
        for watch in before.difference(self._watches.values()):
            self._remove(watch)

    def _add(self, path: str) -> None:
        try:
            if self._fd is None:
                self._fd = linux.inotify_init1()
            self._watches[path] = linux.inotify_add_watch(self._fd, path, _MASK)
        except (FileNotFoundError, NotADirectoryError):
            self._absent.append(path)
        except OSError as error:  # EMFILE, ENOSPC
            self._is_complete = False
            report(Path(path).parent, f"can't be watched: {error.strerror}")

    def _remove(self, watch: int) -> None:
        assert self._fd is not None
        with suppress(OSError):  # the directory is gone, and its watch with it
            linux.inotify_rm_watch(self._fd, watch)

    def has_changes(self) -> bool:
        """Return True if a directory may have changed since the last call. Drops all notices."""
        return self._drain() or not self._is_complete or any(map(os.path.isdir, self._absent))

    def _drain(self) -> bool:
        if self._fd is None:
            return False
        heard = False
        with suppress(BlockingIOError):
            while os.read(self._fd, _EVENTS_BYTES):
                heard = True
        return heard

    def close(self) -> None:
        """Stop watching."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self._watches = None, {}


class MountWatch:
    """Reports whether anything was mounted or unmounted in the daemon's mount namespace."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._poll = select.poll()

    def has_changes(self) -> bool:
        """Return True if a mount may have changed since the last call, and at the first call.

        Raises:
            OSError: EMFILE.
        """
        if self._fd is None:
            self._fd = os.open(_MOUNTINFO, os.O_RDONLY | os.O_CLOEXEC)
            self._poll.register(self._fd, select.POLLPRI)
            return True
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Stop watching."""
        if self._fd is not None:
            self._poll.unregister(self._fd)
            os.close(self._fd)
        self._fd = None
