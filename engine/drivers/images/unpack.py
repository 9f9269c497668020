"""Unpack a tar into the directory of one layer.

Nothing leaves the directory: a parent is opened by openat2(2) with RESOLVE_IN_ROOT, the last
component is never followed. So a symlink of the archive leads within the layer, wherever it points.

A whiteout ``.wh.NAME`` hides NAME of the layers below (OCI image-spec, layer.md, "Whiteouts"): in
overlay that is a character device 0/0. ``.wh..wh..opq`` hides all that is below a directory: the
extended attribute ``trusted.overlay.opaque``. Neither hides files of the same layer, so whiteouts
are made last. The lowest layer needs none: there is nothing to hide.
"""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engine.drivers.storage.trees import remove_tree, size_of_tree
from engine.errors import DriverError, InvalidRequest, Unavailable
from engine.filesystem.erase import DIRECTORY
from engine.filesystem.in_root import Directories
from engine.tar.files import (
    make_node,
    make_symlink,
    possible_mtime_ns,
    set_xattrs,
    write_file,
)
from engine.tar.reader import Entry, Kind, read_entries
from engine.tar.source import MalformedArchive, Source

_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"
_OPAQUE_XATTR: Final = "trusted.overlay.opaque"
_ARCHIVE_AT_FAULT: Final = frozenset(
    {
        errno.EEXIST,
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EXDEV,
        errno.EFBIG,
    }
)
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def unpack(source: Source, directory: Path, data_root: Path, *, lowest: bool) -> int:
    """Unpack an archive into an empty directory; return the size of its files in bytes.

    Raises:
        InvalidRequest: the archive is damaged, or asks for something impossible.
        Unavailable: the disk is full.
        DriverError: the kernel refuses for another reason.
    """
    with _Layer(source, directory, data_root) as layer:
        whiteouts: list[Entry] = []
        for entry in read_entries(source):
            if entry.name.rpartition("/")[2].startswith(_WHITEOUT):
                whiteouts.append(entry)
            else:
                _try(layer.make, entry)
        for entry in () if lowest else whiteouts:
            _try(layer.hide, entry)
        layer.finish()
        return size_of_tree(directory) if layer.replaced else layer.size_bytes


def _try(act: Callable[[Entry], None], entry: Entry) -> None:
    try:
        act(entry)
    except OSError as error:
        raise _explained(error, entry) from error


def _explained(error: OSError, entry: Entry) -> Exception:
    link = f" to {entry.link!r}" if entry.link else ""
    what = f"{entry.kind.value} {entry.name!r}{link}: {os.strerror(error.errno or 0)}"
    if error.errno in _NO_ROOM:
        return Unavailable(f"unpack {what}")
    if error.errno in _ARCHIVE_AT_FAULT:
        return InvalidRequest(f"invalid tar archive: {what}")
    return DriverError(f"unpack {what}")


def clean_path(name: str) -> tuple[str, ...]:
    """Return the components of a path within the layer; none for its root.

    Raises:
        MalformedArchive: the path leads out of the layer.
    """
    components: list[str] = []
    for component in name.split("/"):
        if component == "..":
            if not components and not name.startswith("/"):
                raise MalformedArchive(f"{name!r} is outside of the layer")
            del components[-1:]
        elif component not in ("", "."):
            components.append(component)
    return tuple(components)


class _Layer:
    """A layer that is being unpacked. Keeps the most recently used directories open."""

    def __init__(self, source: Source, root: Path, data_root: Path) -> None:
        self._source = source
        self._data_root = data_root
        self._directories = Directories(os.open(root, DIRECTORY))
        self._mtimes_ns: dict[tuple[str, ...], int] = {}
        self.size_bytes = 0
        self.replaced = False
        """Whether an entry replaced another, so that ``size_bytes`` counts too much."""

    def __enter__(self) -> "_Layer":
        return self

    def __exit__(self, *_: object) -> None:
        self._directories.close()

    def make(self, entry: Entry) -> None:
        path = clean_path(entry.name)
        if not path:
            self._set_directory_attributes(path, self._directories.root_fd, entry)
            return
        parent_fd, name = self._directories.made(path[:-1]), path[-1]
        if entry.kind is Kind.DIRECTORY:
            self._make_directory(parent_fd, path, entry)
        else:
            try:
                self._make_other(parent_fd, name, entry)
            except FileExistsError:
                self._clear(parent_fd, name)
                self._make_other(parent_fd, name, entry)

    def hide(self, entry: Entry) -> None:
        """Make a whiteout. Files of this layer stay visible; only those of the layers below are
        hidden.
        """
        *parent, name = clean_path(entry.name)
        hidden = name.removeprefix(_WHITEOUT)
        if name != _OPAQUE and name.startswith(_WHITEOUT * 2):
            return  # aufs's own notes
        if hidden in ("", ".", ".."):
            raise MalformedArchive(f"a whiteout of {hidden!r}")
        if not self._directories.may_be(tuple(parent)):
            return  # the directory was replaced by something else, which hides all that was in it
        parent_fd = self._directories.made(tuple(parent))
        if name == _OPAQUE:
            os.setxattr(parent_fd, _OPAQUE_XATTR, b"y")
            return
        try:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent_fd)
        except FileExistsError:
            if _is_directory(parent_fd, hidden):
                os.setxattr(f"/proc/self/fd/{parent_fd}/{hidden}", _OPAQUE_XATTR, b"y")

    def finish(self) -> None:
        """Set the times of directories last, because every new entry changes them."""
        for path, mtime_ns in self._mtimes_ns.items():
            try:
                directory_fd = self._directories.existing(path)
            except (FileNotFoundError, NotADirectoryError):
                continue  # replaced by something else later in the archive
            os.utime(directory_fd, ns=(mtime_ns, mtime_ns))

    def _make_directory(self, parent_fd: int, path: tuple[str, ...], entry: Entry) -> None:
        try:
            os.mkdir(path[-1], 0o700, dir_fd=parent_fd)
        except FileExistsError:
            if not _is_directory(parent_fd, path[-1]):
                self._clear(parent_fd, path[-1])
                os.mkdir(path[-1], 0o700, dir_fd=parent_fd)
        self._set_directory_attributes(path, self._directories.existing(path), entry)

    def _set_directory_attributes(
        self, path: tuple[str, ...], directory_fd: int, entry: Entry
    ) -> None:
        if entry.kind is not Kind.DIRECTORY:
            raise MalformedArchive(f"the root of a layer can't be a {entry.kind.value}")
        os.fchown(directory_fd, entry.uid, entry.gid)
        os.fchmod(directory_fd, entry.mode)
        set_xattrs(directory_fd, entry.xattrs)
        self._mtimes_ns[path] = possible_mtime_ns(entry)

    def _make_other(self, parent_fd: int, name: str, entry: Entry) -> None:
        match entry.kind:
            case Kind.FILE:
                write_file(self._source, parent_fd, name, entry)
                self.size_bytes += entry.size_bytes
            case Kind.HARD_LINK:
                self._link(parent_fd, name, entry)
            case Kind.SYMLINK:
                make_symlink(parent_fd, name, entry)
                self.size_bytes += len(os.fsencode(entry.link))
            case _:
                make_node(parent_fd, name, entry)

    def _link(self, parent_fd: int, name: str, entry: Entry) -> None:
        target = clean_path(entry.link)
        if not target:
            raise MalformedArchive(f"{entry.name!r} is a hard link to the root of the layer")
        os.link(
            target[-1],
            name,
            src_dir_fd=self._directories.existing(target[:-1]),
            dst_dir_fd=parent_fd,
            follow_symlinks=False,
        )

    def _clear(self, parent_fd: int, name: str) -> None:
        """Remove an existing entry to make room for another."""
        there = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        self.replaced = True
        if stat.S_ISDIR(there.st_mode):
            remove_tree(Path(name), self._data_root, dir_fd=parent_fd)
        else:
            os.unlink(name, dir_fd=parent_fd)
        if stat.S_ISDIR(there.st_mode) or stat.S_ISLNK(there.st_mode):
            self._directories.forget(keep=parent_fd)


def _is_directory(parent_fd: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode)
