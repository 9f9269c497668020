"""Write a directory as a tar, in blocks, following nothing.

The order is that of Go's ``filepath.Walk``: a directory before its children, names in byte order.
Directories below the top are opened without following symlinks (RESOLVE_BENEATH,
RESOLVE_NO_SYMLINKS); a file is examined before it is opened for reading, so that neither a pipe nor
a device can block us or have side effects. What vanishes or changes its kind meanwhile is left out;
a file that shrinks is padded with zeros, because the header has its size already.
"""

import errno
import os
import stat
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Final

from engine.errors import DriverError
from engine.runtime import linux as k
from engine.tar.writer import END, Member, can_be_packed, header, padding

BLOCK_BYTES: Final = 1 << 20
"""How much is passed on at once."""
_OPEN_MAX: Final = 32
_XATTRS: Final = ("user.",)
_CAPABILITY: Final = "security.capability"
_GONE: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ESTALE, errno.EACCES}
)
"""Errors of files that changed meanwhile, are deeper than PATH_MAX, or are denied (FUSE denies even
root).
"""


def tar_blocks(
    directory_fd: int, base: str, name: str | None, hidden: frozenset[str] = frozenset()
) -> Generator[bytes, None, None]:
    """Yield the tar of one file, or of a directory and all below it.

    Args:
        directory_fd: an open directory; the caller closes it.
        base: the name in it; ``.`` for the directory itself.
        name: its name in the tar, with which the names below it begin. None: a directory's own
            entry is left out.
        hidden: directories that are written empty, named by their paths below the top; the top
            itself is ``""``.
    """
    packer = Packer(None if name is None else os.fsencode(name), hidden)
    with closing(packer):
        yield from joined(packer.pack(directory_fd, base))


def joined(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Join small parts up to a block, and add the end of a tar."""
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= BLOCK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join((*waiting, END))


class _Level:
    """A directory on the present path of the walk, with the names in it that are still to come."""

    def __init__(self, path: str, fd: int, names: list[str]) -> None:
        self.path = path
        self.fd = fd
        self.names = names


class Packer:
    """One walk. Subclasses pack by other rules by overriding :meth:`pack_directory` and
    :meth:`pack_file`.
    """

    def __init__(self, name: bytes | None, hidden: frozenset[str]) -> None:
        self._name = name or b""
        self._prefix = b"" if name is None else _with_slash(name)
        self._hidden = hidden
        self._top_fd = -1
        self._levels: list[_Level] = []
        self._first_names: dict[tuple[int, int], bytes] = {}

    def close(self) -> None:
        """Close the directories."""
        for level in self._levels:
            _close(level)
        self._levels.clear()
        if self._top_fd >= 0:
            os.close(self._top_fd)
            self._top_fd = -1

    def pack(self, directory_fd: int, base: str) -> Iterator[bytes]:
        """Yield the tar, without its end."""
        found = os.stat(base, dir_fd=directory_fd, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            yield from self.pack_file(directory_fd, base, self._name)
            return
        self._top_fd = os.open(base, _DIRECTORY, dir_fd=directory_fd)
        found = os.fstat(self._top_fd)
        if self._prefix:
            yield header(Member(name=self._prefix, found=found, xattrs=_xattrs(self._top_fd)))
        if "" not in self._hidden:
            self.descend("")
        while self._levels:
            yield from self._next()

    def _next(self) -> Iterator[bytes]:
        level = self._levels[-1]
        if not level.names:
            _close(self._levels.pop())
            return
        base = level.names.pop()
        path = f"{level.path}/{base}" if level.path else base
        with _tolerated():
            if level.fd < 0:
                level.fd = self._opened(level.path)
            found = os.stat(base, dir_fd=level.fd, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                yield from self.pack_directory(path)
            else:
                yield from self.pack_file(level.fd, base, self._called(path))

    def _called(self, path: str) -> bytes:
        return self._prefix + os.fsencode(path)

    def pack_directory(self, path: str) -> Iterator[bytes]:
        """Yield a directory's header, and enter the directory."""
        yield header(self.directory_member(path))
        if path not in self._hidden:
            self.descend(path)

    def directory_member(self, path: str) -> Member:
        """Return the member for a directory."""
        fd = self._opened(path)
        try:
            name = _with_slash(self._called(path))
            return Member(name=name, found=os.fstat(fd), xattrs=_xattrs(fd))
        finally:
            os.close(fd)

    def descend(self, path: str) -> None:
        """Continue the walk in a directory."""
        with _tolerated():
            fd = self._opened(path)
            names = sorted(os.listdir(fd), key=os.fsencode, reverse=True)  # noqa: PTH208  (a descriptor)
            self._levels.append(_Level(path, fd, names))
        if len(self._levels) > _OPEN_MAX:
            _close(self._levels[-_OPEN_MAX - 1])

    def _opened(self, path: str) -> int:
        resolve = k.RESOLVE_BENEATH | k.RESOLVE_NO_SYMLINKS
        return k.openat2(self._top_fd, path or ".", _DIRECTORY, resolve=resolve)

    def pack_file(self, directory_fd: int, base: str, name: bytes) -> Iterator[bytes]:
        """Yield a file that is not a directory. It is held by O_PATH, so it can't be replaced
        between the examination and the read.
        """
        held_fd = os.open(base, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
        try:
            found = os.fstat(held_fd)
            if stat.S_ISDIR(found.st_mode) or not can_be_packed(found):
                return
            first = self._first_name(found, name)
            if first is not None:
                yield header(Member(name=name, found=found, link=first, hard=True))
            elif stat.S_ISLNK(found.st_mode):
                target = os.fsencode(os.readlink("", dir_fd=held_fd))
                yield header(Member(name=name, found=found, link=target))
            else:
                member = Member(name=name, found=found, xattrs=_xattrs(held_fd))
                yield from _with_content(held_fd, member)
        finally:
            os.close(held_fd)

    def _first_name(self, found: os.stat_result, name: bytes) -> bytes | None:
        """Return the name under which a file with several names has been packed already."""
        if found.st_nlink == 1:
            return None
        key = (found.st_dev, found.st_ino)
        before = self._first_names.get(key)
        self._first_names.setdefault(key, name)
        return before


_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _with_content(held_fd: int, member: Member) -> Iterator[bytes]:
    if not member.size_bytes:
        yield header(member)
        return
    reading = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    fd = os.open(f"/proc/self/fd/{held_fd}", reading)
    try:
        yield header(member)
        left = member.size_bytes
        while left:
            content = _read(fd, min(BLOCK_BYTES, left), member) or bytes(min(BLOCK_BYTES, left))
            left -= len(content)
            yield content
        yield padding(member.size_bytes)
    finally:
        os.close(fd)


def _read(fd: int, count: int, member: Member) -> bytes:
    """Read a part of a file. An error must end the tar, because the header has been sent: otherwise
    it would look complete.
    """
    try:
        return os.read(fd, count)
    except OSError as error:
        raise DriverError(f"read {os.fsdecode(member.name)}: {error.strerror}") from error


def _xattrs(fd: int) -> dict[str, bytes]:
    """Return the attributes that Docker packs: capabilities and ``user.`` attributes."""
    where = f"/proc/self/fd/{fd}"
    kept: dict[str, bytes] = {}
    with suppress(OSError):  # not supported by the file system, or gone
        for name in os.listxattr(where):
            if name == _CAPABILITY or name.startswith(_XATTRS):
                kept[name] = os.getxattr(where, name)
    return kept


def _with_slash(name: bytes) -> bytes:
    return name if name.endswith(b"/") else name + b"/"


def _close(level: _Level) -> None:
    if level.fd >= 0:
        os.close(level.fd)
        level.fd = -1


@contextmanager
def _tolerated() -> Iterator[None]:
    """Ignore errors that are caused by concurrent changes of the files."""
    try:
        yield
    except OSError as error:
        if error.errno not in _GONE:
            raise
