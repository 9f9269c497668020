"""Unpack a tar into a directory of a container, as ``docker cp`` does.

The container may run, and its processes may swap symlinks at any moment: the kernel opens each
parent below the container's root (RESOLVE_IN_ROOT, openat2(2)), the last component is never
followed, and a file is always a new one. So a race can do no more than what a process in the
container could have done itself.

As with Docker, what is in the way is replaced, existing directories get the mode and the owner that
the tar gives them, and names that lead out of the destination are refused.
"""

import errno
import os
import posixpath
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from engine.errors import DriverError, EngineError, InvalidRequest, Unavailable
from engine.filesystem.erase import DIRECTORY, erase
from engine.filesystem.in_root import Directories
from engine.tar.files import (
    make_node,
    make_symlink,
    possible_mtime_ns,
    set_xattrs,
    write_file,
)
from engine.tar.reader import Entry, Kind, read_entries
from engine.tar.source import Source

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_SERVER_ERRNOS: Final = frozenset(
    {errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE}
)

Owner = tuple[int, int]


def check_tar(source: Source) -> None:
    """Read all headers, so that a damaged tar is refused before anything is unpacked.

    Raises:
        MalformedArchive: it is damaged or truncated.
    """
    for _ in read_entries(source):
        pass


def unpack_into(
    source: Source,
    root_fd: int,
    destination: str,
    *,
    keep_kinds: bool = False,
    owner: Owner | None = None,
    renamed: tuple[str, str] | None = None,
) -> None:
    """Unpack a tar into a directory below a container's root.

    Args:
        source: the tar.
        root_fd: the container's root; the caller closes it.
        destination: an absolute path below it, without symlinks when it was looked up.
        keep_kinds: see :class:`~engine.ports.files.UnpackOptions`.
        owner: the owner of all files, instead of those that the tar names.
        renamed: a prefix of the names in the tar, and its replacement.

    Raises:
        InvalidRequest: the tar asks for something impossible.
        Unavailable: the disk is full.
        DriverError: the kernel refuses for another reason.
    """
    unpacking = _Unpacking(source, root_fd, destination, keep_kinds=keep_kinds)
    try:
        for entry in read_entries(source):
            own = replace(entry, uid=owner[0], gid=owner[1]) if owner else entry
            if renamed is not None:
                own = _renamed(own, *renamed)
            _attempt(lambda: unpacking.make(own), own)  # noqa: B023  (called here)
        unpacking.finish()
    finally:
        unpacking.close()


def _renamed(entry: Entry, old: str, new: str) -> Entry:
    link = _rebased(entry.link, old, new) if entry.kind is Kind.HARD_LINK else entry.link
    return replace(entry, name=_rebased(entry.name, old, new), link=link)


def _rebased(name: str, old: str, new: str) -> str:
    old = old.rstrip("/")  # the root's names begin with a slash, which stays
    rest = name.removeprefix(old)
    return new + rest if name.startswith(old) and rest[:1] in ("", "/") else name


def _attempt(act: Callable[[], None], entry: Entry) -> None:
    try:
        act()
    except OSError as error:
        raise _explained(error, entry) from error


def _explained(error: OSError, entry: Entry) -> EngineError:
    link = f" to {entry.link!r}" if entry.link else ""
    words = os.strerror(error.errno or 0).lower()
    message = f"make {entry.kind.value} {entry.name!r}{link}: {words}"
    if error.errno in _NO_ROOM:
        return Unavailable(message)
    return DriverError(message) if error.errno in _SERVER_ERRNOS else InvalidRequest(message)


class _Unpacking:
    """The unpacking of one tar."""

    def __init__(self, source: Source, root_fd: int, destination: str, *, keep_kinds: bool) -> None:
        self._source = source
        self._destination = destination
        self._base = _components(destination)
        self._keep_kinds = keep_kinds
        self._directories = Directories(os.dup(root_fd))
        self._mtimes_ns: dict[tuple[str, ...], int] = {}

    def close(self) -> None:
        self._directories.close()

    def make(self, entry: Entry) -> None:
        inside = self._inside(entry)
        if not inside:
            return  # the destination itself exists, and stays as it is
        self._check_link(entry, inside)
        *parents, name = (*self._base, *inside)
        parent_fd = self._directories.made(tuple(parents))
        self._remove_existing(parent_fd, name, entry, inside)
        if entry.kind is Kind.DIRECTORY:
            self._make_directory(parent_fd, name, entry)
            self._mtimes_ns[(*parents, name)] = possible_mtime_ns(entry)
        else:
            self._make_other(parent_fd, name, entry)

    def finish(self) -> None:
        """Set the times of directories last, because every new entry changes them."""
        for (*parents, name), mtime_ns in self._mtimes_ns.items():
            try:
                parent_fd = self._directories.existing(tuple(parents))
                os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=parent_fd, follow_symlinks=False)
            except OSError:  # removed by another process, or the file system keeps no times
                continue

    def _inside(self, entry: Entry) -> tuple[str, ...]:
        """Return the components of an entry's name below the destination."""
        cleaned = posixpath.normpath(entry.name)
        if cleaned == ".." or cleaned.startswith("../"):
            raise InvalidRequest(f'"{cleaned}" is outside of "{self._destination}"')
        return _components(cleaned)

    def _check_link(self, entry: Entry, inside: tuple[str, ...]) -> None:
        """Apply Docker's rule, which is about text: a link leads to something below the
        destination, or begins with a slash.
        """
        if entry.kind not in (Kind.SYMLINK, Kind.HARD_LINK):
            return
        base = inside[:-1] if entry.kind is Kind.SYMLINK else ()
        target = posixpath.normpath("/".join((self._destination, *base, entry.link)))
        below = self._destination.rstrip("/") + "/"
        if not f"{target}/".startswith(below):
            path = posixpath.join(self._destination, *inside)
            shown = path if entry.kind is Kind.SYMLINK else target
            word = "symlink" if entry.kind is Kind.SYMLINK else "hardlink"
            raise InvalidRequest(f'invalid {word} "{shown}" -> "{entry.link}"')

    def _remove_existing(
        self, parent_fd: int, name: str, entry: Entry, inside: tuple[str, ...]
    ) -> None:
        try:
            there = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        was_directory, is_directory = stat.S_ISDIR(there.st_mode), entry.kind is Kind.DIRECTORY
        if was_directory and is_directory:
            return
        if self._keep_kinds and was_directory is not is_directory:
            path = posixpath.join(self._destination, *inside)
            old, new = (
                ("directory", "non-directory") if was_directory else ("non-directory", "directory")
            )
            raise InvalidRequest(
                f'cannot overwrite {old} "{path}" with {new} "{self._destination}"'
            )
        erase(parent_fd, name)
        if was_directory or stat.S_ISLNK(there.st_mode):
            self._directories.forget(keep=parent_fd)

    def _make_directory(self, parent_fd: int, name: str, entry: Entry) -> None:
        with suppress(FileExistsError):  # O_NOFOLLOW below makes sure that it is a directory
            os.mkdir(name, 0o700, dir_fd=parent_fd)
        directory_fd = os.open(name, DIRECTORY, dir_fd=parent_fd)
        try:
            os.fchown(directory_fd, entry.uid, entry.gid)
            os.fchmod(directory_fd, entry.mode)
            set_xattrs(directory_fd, entry.xattrs)
        finally:
            os.close(directory_fd)

    def _make_other(self, parent_fd: int, name: str, entry: Entry) -> None:
        match entry.kind:
            case Kind.FILE:
                write_file(self._source, parent_fd, name, entry)
            case Kind.SYMLINK:
                make_symlink(parent_fd, name, entry)
            case Kind.HARD_LINK:
                self._link(parent_fd, name, entry)
            case _:
                make_node(parent_fd, name, entry)

    def _link(self, parent_fd: int, name: str, entry: Entry) -> None:
        *parents, target = (*self._base, *_components(posixpath.normpath(entry.link)))
        source_fd = self._directories.existing(tuple(parents))
        os.link(target, name, src_dir_fd=source_fd, dst_dir_fd=parent_fd, follow_symlinks=False)


def _components(path: str) -> tuple[str, ...]:
    return tuple(name for name in path.split("/") if name not in ("", "."))
