"""Open directories below a root that may be malicious, without leaving it."""

import errno
import os
from collections import OrderedDict
from typing import Final

from engine.runtime import linux

_OPEN_MAX: Final = 64


class Directories:
    """Opens directories by their path inside a root, and keeps the most recently used ones open.

    A symlink on the way leads within the root, wherever it points: RESOLVE_IN_ROOT, openat2(2). A
    returned descriptor is owned by this object, and valid until a few dozen others have been asked
    for.
    """

    def __init__(self, root_fd: int) -> None:
        self.root_fd = root_fd
        self._open: OrderedDict[tuple[str, ...], int] = OrderedDict({(): root_fd})

    def existing(self, path: tuple[str, ...]) -> int:
        """Return an existing directory.

        Raises:
            OSError: ENOENT, ENOTDIR, ELOOP, as open(2).
        """
        if (fd := self._open.get(path)) is not None:
            self._open.move_to_end(path)
            return fd
        fd = self._opened(path)
        self._open[path] = fd
        if len(self._open) > _OPEN_MAX:
            self._close_oldest()
        return fd

    def made(self, path: tuple[str, ...]) -> int:
        """Return a directory; it and its parents are created if missing, owned by root, with mode
        0755.

        Raises:
            OSError: ENOTDIR, ELOOP, or EEXIST when a symlink on the way is dangling.
        """
        depth = len(path)
        while depth:
            try:
                fd = self.existing(path[:depth])
            except FileNotFoundError:
                depth -= 1
            else:
                break
        else:
            fd = self.root_fd
        for below in range(depth, len(path)):
            os.mkdir(path[below], 0o755, dir_fd=fd)
            fd = self.existing(path[: below + 1])
            os.fchmod(fd, 0o755)  # whatever the umask
        return fd

    def may_be(self, path: tuple[str, ...]) -> bool:
        """True if the existing part of a path consists of directories only; a symlink to a
        directory does not count.
        """
        flags, resolve = (
            os.O_PATH | os.O_DIRECTORY,
            linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS,
        )
        try:
            os.close(linux.openat2(self.root_fd, "/".join(path) or ".", flags, resolve=resolve))
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                return False
            raise
        return True

    def forget(self, keep: int) -> None:
        """Forget all paths, because they may lead to other directories now. The descriptor ``keep``
        stays valid.
        """
        for path, fd in list(self._open.items()):
            if fd not in (keep, self.root_fd):
                os.close(self._open.pop(path))

    def close(self) -> None:
        """Close all descriptors, the root's too."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def _opened(self, path: tuple[str, ...]) -> int:
        while True:
            try:
                return linux.openat2(
                    self.root_fd,
                    "/".join(path),
                    os.O_RDONLY | os.O_DIRECTORY,
                    resolve=linux.RESOLVE_IN_ROOT,
                )
            except (
                BlockingIOError
            ):  # EAGAIN: a rename somewhere on the machine raced with the lookup
                continue

    def _close_oldest(self) -> None:
        for path, fd in self._open.items():
            if fd != self.root_fd:
                del self._open[path]
                os.close(fd)
                return
