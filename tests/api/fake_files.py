"""The port for containers' files, in memory: every container has the same few, and remembers what
was put into it."""

import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.errors import InvalidRequest
from engine.ports.files import (
    ChangeKind,
    NoSuchPath,
    PathChange,
    PathStat,
    ProcessGone,
    ReadOnlyPlace,
    UnpackOptions,
    Upload,
)

NODES = {
    "/": PathStat(name="/", size_bytes=4096, mode=stat.S_IFDIR | 0o755, mtime_ns=0),
    "/f": PathStat(name="f", size_bytes=5, mode=stat.S_IFREG | 0o4644, mtime_ns=1_500_000_000),
    "/l": PathStat(name="l", size_bytes=1, mode=stat.S_IFLNK | 0o777, mtime_ns=1, link_target="/f"),
}


class FakeReading:
    """A tar on its way out."""

    def __init__(self, found: PathStat, content: tuple[bytes, ...]) -> None:
        self.stat = found
        self.closed = False
        self._content = content

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        for block in self._content:
            await trio.lowlevel.checkpoint()
            yield block

    def close(self) -> None:
        self.closed = True


class FakeUpload:
    """A tar that has come in."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.closed = False

    def close(self) -> None:
        self.closed = True


class FakeFiles:
    """What a test may look at: what was unpacked, what was opened."""

    def __init__(self) -> None:
        self.unpacked: list[tuple[str, bytes, UnpackOptions]] = []
        self.readings: list[FakeReading] = []
        self.uploads: list[FakeUpload] = []
        self.gone_once = False
        """Whether the next container that is looked at has just ended."""
        self.seen_gone = trio.Event()

    async def stat(self, container: Container, path: str) -> PathStat:
        await trio.lowlevel.checkpoint()
        self._check(path)
        return NODES[path]

    def _check(self, path: str) -> None:
        if self.gone_once:
            self.gone_once = False
            self.seen_gone.set()
            raise ProcessGone
        if path not in NODES:
            raise NoSuchPath(path)

    async def read(self, container: Container, path: str) -> FakeReading:
        found = await self.stat(container, path)
        self.readings.append(FakeReading(found, (b"one", b"two")))
        return self.readings[-1]

    async def export(self, container: Container) -> FakeReading:
        return await self.read(container, "/")

    async def layer(self, container: Container) -> FakeReading:
        return await self.read(container, "/")

    async def receive(self, body: AsyncIterator[bytes]) -> FakeUpload:
        self.uploads.append(FakeUpload(b"".join([chunk async for chunk in body])))
        if self.uploads[-1].content == b"damaged":
            raise InvalidRequest("invalid tar archive: unexpected EOF")
        return self.uploads[-1]

    async def check_destination(self, container: Container, path: str) -> None:
        await self.stat(container, path)
        if path != "/":
            raise InvalidRequest("extraction point is not a directory")
        if container.spec.read_only:
            raise ReadOnlyPlace("container rootfs is marked read-only")

    @asynccontextmanager
    async def destination(
        self, container: Container, path: str, check: Callable[[], None]
    ) -> AsyncIterator["FakeDestination"]:
        check()
        await self.check_destination(container, path)
        yield FakeDestination(self, path)

    async def changes(self, container: Container) -> tuple[PathChange, ...]:
        await trio.lowlevel.checkpoint()
        return (PathChange("/a", ChangeKind.ADDED), PathChange("/b", ChangeKind.DELETED))

    async def size_bytes(self, container: ContainerId) -> int:
        await trio.lowlevel.checkpoint()
        return 11


class FakeDestination:
    """An open directory."""

    def __init__(self, files: FakeFiles, path: str) -> None:
        self._files = files
        self._path = path

    async def unpack(self, upload: Upload, options: UnpackOptions) -> None:
        assert isinstance(upload, FakeUpload)
        await trio.lowlevel.checkpoint()
        self._files.unpacked.append((self._path, upload.content, options))
