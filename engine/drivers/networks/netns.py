"""Create, enter and pin network namespaces, each on a thread made for it.

A thread that has entered a container's namespace can't be used for anything else, so it ends there:
no code can forget to move it back. network_namespaces(7), namespaces(7).
"""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from engine.failpoints import failpoint
from engine.runtime import linux

_OWN_NETNS: Final = "/proc/thread-self/ns/net"
_PIN_DIRECTORY_MODE: Final = 0o700

T = TypeVar("T")


def on_own_thread(function: Callable[[], T]) -> T:
    """Run ``function`` on a new thread, wait for it, and return its result or raise its error."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(function())
        except BaseException as error:  # raised again on the waiting thread
            errors.append(error)

    thread = threading.Thread(target=body, name="netns")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def leave() -> None:
    """Move the calling thread into a new network namespace, empty but for ``lo``. unshare(2)."""
    linux.unshare(linux.CLONE_NEWNET)


def enter(path: Path) -> None:
    """Move the calling thread into the network namespace at ``path``.

    Raises:
        OSError: ENOENT; EINVAL if it is not a namespace.
    """
    namespace_fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.setns(namespace_fd, linux.CLONE_NEWNET)
    finally:
        os.close(namespace_fd)


@contextmanager
def opened(pid: int) -> Iterator[int]:
    """Open a process's network namespace for a block. The caller has to make sure that the pid was
    not reused.

    Raises:
        OSError: ENOENT when there is no such process.
    """
    namespace_fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield namespace_fd
    finally:
        os.close(namespace_fd)


def open_own() -> int:
    """Return a descriptor of the calling thread's network namespace; the caller closes it."""
    return os.open(_OWN_NETNS, os.O_RDONLY | os.O_CLOEXEC)


def pin(path: Path, source: str = _OWN_NETNS) -> None:
    """Keep a namespace alive without a process in it: the calling thread's, unless ``source`` says
    otherwise.
    """
    if is_pinned(path):
        return
    path.parent.mkdir(mode=_PIN_DIRECTORY_MODE, parents=True, exist_ok=True)
    path.touch(mode=0o400)
    failpoint("netns_pin_touched")
    linux.mount(source, str(path), flags=linux.MS_BIND)


def unpin(path: Path) -> bool:
    """Remove the pin of a namespace; return whether there was one. The kernel dismantles the
    namespace and its links when nothing else holds it.
    """
    try:
        while True:  # a pin made twice is two mounts, one on top of the other
            linux.umount2(str(path), linux.MNT_DETACH | linux.UMOUNT_NOFOLLOW)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):  # not mounted, not there
            raise
    failpoint("netns_unmounted")
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of the file at ``path``, which identify it; None if there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def is_pinned(path: Path) -> bool:
    """True if there is a namespace at ``path``: all of them are on one file system, nsfs."""
    try:
        return path.stat().st_dev == Path(_OWN_NETNS).stat().st_dev
    except (FileNotFoundError, NotADirectoryError):
        return False
