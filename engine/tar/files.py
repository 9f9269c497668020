"""Create the files of a tar's entries below an open directory, following nothing."""

import errno
import os
import stat
from typing import Final

from engine.errors import DriverError
from engine.filesystem.writing import write_all
from engine.tar.reader import Entry, Kind
from engine.tar.source import Source

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OVERLAY_XATTRS: Final = ("trusted.overlay.", "user.overlay.")
"""Attributes that only the engine may write: in an archive they could redirect a directory to
another.
"""
_CHUNK_BYTES: Final = 1 << 20
_MTIME_MAX_NS: Final = 2**62
_FILE_TYPES: Final = {
    Kind.CHARACTER_DEVICE: stat.S_IFCHR,
    Kind.BLOCK_DEVICE: stat.S_IFBLK,
    Kind.FIFO: stat.S_IFIFO,
}


def write_file(source: Source, parent_fd: int, name: str, entry: Entry) -> None:
    """Create a regular file with its content.

    Raises:
        OSError: EEXIST, and any error of write(2); a partial file may be left.
    """
    file_fd = os.open(name, _NEW_FILE, 0o600, dir_fd=parent_fd)
    try:
        _copy(source, file_fd, entry)
        # first, because it removes setuid and capabilities
        os.fchown(file_fd, entry.uid, entry.gid)
        os.fchmod(file_fd, entry.mode)
        set_xattrs(file_fd, entry.xattrs)
        mtime_ns = possible_mtime_ns(entry)
        os.utime(file_fd, ns=(mtime_ns, mtime_ns))
    finally:
        os.close(file_fd)


def _copy(source: Source, file_fd: int, entry: Entry) -> None:
    at = entry.data_offset
    for offset, length in entry.extents:
        os.lseek(file_fd, offset, os.SEEK_SET)
        end = at + length
        while at < end:
            chunk = source.read(at, min(_CHUNK_BYTES, end - at))
            if not chunk:
                raise DriverError("an archive became shorter while it was read")
            write_all(file_fd, chunk)
            at += len(chunk)
    if entry.extents != ((0, entry.size_bytes),):
        os.ftruncate(file_fd, entry.size_bytes)


def make_symlink(parent_fd: int, name: str, entry: Entry) -> None:
    """Create a symbolic link, wherever it leads.

    Raises:
        OSError: as symlink(2).
    """
    os.symlink(entry.link, name, dir_fd=parent_fd)
    _set_attributes(parent_fd, name, entry)


def make_node(parent_fd: int, name: str, entry: Entry) -> None:
    """Create a device or a pipe.

    Raises:
        OSError: as mknod(2).
    """
    mode = _FILE_TYPES[entry.kind] | entry.mode
    os.mknod(name, mode, os.makedev(*entry.device), dir_fd=parent_fd)
    _set_attributes(parent_fd, name, entry)
    _set_mode(parent_fd, name, entry)


def _set_mode(parent_fd: int, name: str, entry: Entry) -> None:
    """Set a node's mode through an O_PATH descriptor, because a symlink that replaced it would be
    followed.
    """
    held_fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    try:
        if stat.S_IFMT(os.fstat(held_fd).st_mode) == _FILE_TYPES[entry.kind]:
            os.chmod(f"/proc/self/fd/{held_fd}", entry.mode)  # noqa: PTH101  (not a path)
    finally:
        os.close(held_fd)


def _set_attributes(parent_fd: int, name: str, entry: Entry) -> None:
    os.chown(name, entry.uid, entry.gid, dir_fd=parent_fd, follow_symlinks=False)
    set_xattrs(f"/proc/self/fd/{parent_fd}/{name}", entry.xattrs)
    mtime_ns = possible_mtime_ns(entry)
    os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=parent_fd, follow_symlinks=False)


def set_xattrs(where: int | str, xattrs: dict[str, bytes]) -> None:
    """Set extended attributes. As with Docker, attributes that the file system refuses are left
    out.
    """
    for name, value in xattrs.items():
        if name.startswith(_OVERLAY_XATTRS):
            continue
        try:
            if isinstance(where, int):
                os.setxattr(where, name, value)
            else:
                os.setxattr(where, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise


def possible_mtime_ns(entry: Entry) -> int:
    """Return an entry's time, limited to the latest that the kernel supports."""
    return min(entry.mtime_ns, _MTIME_MAX_NS)
