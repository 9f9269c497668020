"""Declare the port for files of containers: copy, export, compare.

What waits for a client holds nothing that others need, and what holds something does not wait for a
client: a tar is received whole before the place that it goes to is opened, and reading never keeps
a container from starting or from being removed.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.errors import EngineError, Forbidden, NotFound


class NoSuchPath(NotFound):
    """Nothing stands at that path."""


class ReadOnlyPlace(Forbidden):
    """The path is mounted read-only."""


class ProcessGone(EngineError):
    """The container has ended although the log says that it runs; the log will say so in a
    moment.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStat:
    """What stands at a path of a container."""

    name: str
    size_bytes: int
    mode: int
    """As in ``st_mode``, inode(7)."""
    mtime_ns: int
    link_target: str = ""
    """The final target of a symlink, as a path of the container."""


class ChangeKind(IntEnum):
    """How a path differs from the image, with the API's numbers."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


@dataclass(frozen=True, slots=True)
class PathChange:
    """One path that differs from the image."""

    path: str
    kind: ChangeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackOptions:
    """How to unpack an uploaded tar."""

    keep_kinds: bool = False
    """A directory is not replaced by something else, nor something else by a directory."""
    owner: str = ""
    """``user[:group]`` of the container that owns the files; empty for the owners in the tar."""


class Reading(Protocol):
    """A tar that is about to be read. The caller closes it."""

    @property
    def stat(self) -> PathStat:
        """Return the stat of the path that was asked for."""
        ...

    def blocks(self) -> AsyncGenerator[bytes, None]:
        """Yield the tar, once."""
        ...

    def close(self) -> None:
        """Release everything that the tar holds. Closing twice is fine."""
        ...


class Upload(Protocol):
    """A tar that has arrived whole, with sound headers. The caller closes it."""

    def close(self) -> None:
        """Delete it."""
        ...


class Destination(Protocol):
    """A directory of a container that a tar can be unpacked into."""

    async def unpack(self, upload: Upload, options: UnpackOptions) -> None:
        """Unpack a tar. What was unpacked before a failure stays.

        Raises:
            InvalidRequest: the tar wants what can't be.
            Unavailable: the disk is full.
        """
        ...


class ContainerFiles(Protocol):
    """Reads and writes the files of containers, whether they run or not, without leaving the
    container's root.
    """

    async def stat(self, container: Container, path: str) -> PathStat:
        """Return what stands at a path; a last component that is a symlink is not followed.

        Raises:
            NoSuchPath, InvalidRequest, ProcessGone.
        """
        ...

    async def read(self, container: Container, path: str) -> Reading:
        """Return a tar of a file, or of a directory with all below it.

        Raises:
            NoSuchPath, InvalidRequest, ProcessGone.
        """
        ...

    async def export(self, container: Container) -> Reading:
        """Return a tar of the root file system without what is mounted in it.

        Raises:
            ProcessGone.
        """
        ...

    async def layer(self, container: Container) -> Reading:
        """Return what the container changed of its image, as the tar of a layer."""
        ...

    async def receive(self, body: AsyncIterator[bytes]) -> Upload:
        """Store an uploaded tar, compressed or not, until it has arrived whole.

        Raises:
            InvalidRequest: it is damaged.
            Unavailable: the disk is full.
        """
        ...

    async def check_destination(self, container: Container, path: str) -> None:
        """Refuse what :meth:`destination` would refuse, without making anything.

        Raises:
            NoSuchPath, InvalidRequest, ReadOnlyPlace, ProcessGone.
        """
        ...

    def destination(
        self, container: Container, path: str, check: Callable[[], None]
    ) -> AbstractAsyncContextManager[Destination]:
        """Open a directory for writing. Until it is closed, no other copy writes to the container's
        files, and it is neither started nor removed.

        Args:
            container: as it was looked up.
            path: in it.
            check: called when no other may write any more; raises if the container has changed.

        Raises:
            NoSuchPath, InvalidRequest, ReadOnlyPlace, ProcessGone.
        """
        ...

    async def changes(self, container: Container) -> tuple[PathChange, ...]:
        """Return how a container's files differ from its image's: parents before children, names in
        byte order.
        """
        ...

    async def size_bytes(self, container: ContainerId) -> int:
        """Measure what the container has written into its own layer."""
        ...
