"""Resolve paths inside containers, as Docker reads them.

A path is first cleaned as text. Then the kernel opens its directory, keeping every symlink and
every ``..`` within the container's root (RESOLVE_IN_ROOT, openat2(2)), and the last component is
examined without following it.
"""

import errno
import os
import posixpath
import stat
from dataclasses import dataclass
from typing import Final

from engine.errors import DriverError, InvalidRequest
from engine.ports.files import NoSuchPath, PathStat
from engine.runtime import linux as k
from engine.runtime.inside import open_inside

_LINKS_MAX: Final = 255
_CALLERS_FAULT: Final = frozenset({errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL})


@dataclass(frozen=True, slots=True)
class AskedPath:
    """A requested path in Docker's form: absolute, without ``..``, with a slash or dot at the end
    kept.
    """

    text: str

    @property
    def directory(self) -> str:
        """The part before the last component; ends in a slash."""
        return self.text[: self.text.rindex("/") + 1]

    @property
    def base(self) -> str:
        """The last component, or ``.`` for the directory itself."""
        return self.text[self.text.rindex("/") + 1 :] or "."

    @property
    def name(self) -> str:
        """The name that a copy gets: Go's ``filepath.Base``."""
        return posixpath.basename(self.text.rstrip("/")) or "/"


def asked_path(path: str) -> AskedPath:
    """Clean a path from a request.

    Raises:
        InvalidRequest: it contains a NUL byte.
    """
    if "\0" in path:
        raise InvalidRequest(f"lstat {path!r}: invalid argument")
    cleaned = "/" + posixpath.normpath("/" + path).lstrip("/")
    if posixpath.basename(path.rstrip("/")) == ".":
        cleaned = cleaned.rstrip("/") + "/."
    if path.endswith("/") and not cleaned.endswith("/"):
        cleaned += "/"
    return AskedPath(cleaned)


def open_directory_of(root_fd: int, asked: AskedPath) -> int:
    """Open the directory that holds a path, O_PATH; the caller closes it.

    Raises:
        NoSuchPath, InvalidRequest.
    """
    try:
        flags = os.O_PATH | os.O_DIRECTORY
        return open_inside(root_fd, asked.directory, flags, k.RESOLVE_NO_MAGICLINKS)
    except OSError as error:
        raise path_error(asked, error) from error


def look_at(directory_fd: int, asked: AskedPath) -> os.stat_result:
    """Call lstat(2) for a path whose directory is open.

    Raises:
        NoSuchPath, InvalidRequest.
    """
    try:
        return os.stat(asked.base, dir_fd=directory_fd, follow_symlinks=False)
    except OSError as error:
        raise path_error(asked, error) from error


def path_stat(root_fd: int, asked: AskedPath, found: os.stat_result) -> PathStat:
    """Return what clients see of a path."""
    return PathStat(
        name=asked.name,
        size_bytes=found.st_size,
        mode=found.st_mode,
        mtime_ns=found.st_mtime_ns,
        link_target=evaluated(root_fd, asked.text) if stat.S_ISLNK(found.st_mode) else "",
    )


def path_error(asked: AskedPath, error: OSError) -> Exception:
    """Convert a failed lookup's error to the error for the client."""
    if error.errno == errno.ENOENT:
        return NoSuchPath(asked.text)
    words = os.strerror(error.errno or 0).lower()
    if error.errno in _CALLERS_FAULT:
        return InvalidRequest(f"lstat {asked.text}: {words}")
    return DriverError(f"look at {asked.text} of the container: {words}")


def evaluated(root_fd: int, path: str) -> str:
    """Return where a path leads once all its symlinks are followed, as far as it exists. For
    display only, never to be opened.

    Raises:
        InvalidRequest: too many links.
    """
    pending = [name for name in reversed(path.split("/")) if name not in ("", ".")]
    done: list[str] = []
    links = _LINKS_MAX
    while pending:
        name = pending.pop()
        if name == "..":
            del done[-1:]
            continue
        target = _link_target(root_fd, done, name)
        if target is None:
            done.append(name)
            continue
        links -= 1
        if not links:
            raise InvalidRequest(f"lstat {path}: too many links")
        if target.startswith("/"):
            done.clear()
        pending += [part for part in reversed(target.split("/")) if part not in ("", ".")]
    return "/" + "/".join(done)


def _link_target(root_fd: int, directory: list[str], name: str) -> str | None:
    try:
        directory_fd = open_inside(
            root_fd, "/".join(directory), os.O_PATH | os.O_DIRECTORY, k.RESOLVE_NO_SYMLINKS
        )
    except OSError:  # missing, or changed meanwhile
        return None
    try:
        return os.readlink(name, dir_fd=directory_fd)
    except OSError:  # likewise, or not a symlink
        return None
    finally:
        os.close(directory_fd)
