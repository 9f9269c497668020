"""Answer the port for the content of images, on threads.

An upload is spooled before a thread of the disk's lane unpacks it, for a client may send slowly.
The layer of a commit is read by the thread that unpacks it: it comes from the same disk.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import trio

from engine.domain.dockerfile.instructions import apply_changes
from engine.domain.ids import ImageId
from engine.domain.image.config import HistoryEntry, ImageConfig
from engine.domain.image.saving import NamedImage
from engine.drivers.images.content import Content
from engine.drivers.images.save import SavedImages
from engine.drivers.lanes import Lane, Lanes
from engine.drivers.storage.spool import spool
from engine.ports.content import Arrived, Usage


class _Blocks:
    """A layer in the making, for a thread that wants to block on it."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int = 1 << 20, /) -> bytes:
        """Up to ``size`` bytes; none at the end. Called on a lane's thread."""
        if not self._rest:
            self._rest = memoryview(trio.from_thread.run(self._next))
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)

    async def _next(self) -> bytes:
        async for chunk in self._chunks:
            if chunk:
                return bytes(chunk)
        return b""


class SavedArchive:
    """An archive in the making: a thread is held only while a block of it is made."""

    def __init__(self, saved: SavedImages, lanes: Lanes) -> None:
        self._saved = saved
        self._parts = saved.blocks()
        self._lanes = lanes

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """The archive; each block is made when the one before is gone."""
        while block := await self._lanes.run(Lane.SPOOL, partial(next, self._parts, b"")):
            yield block

    def close(self) -> None:
        """Let go of the images."""
        self._parts.close()
        self._saved.close()


class LinuxImages:
    """The images of one data root."""

    def __init__(self, content: Content, data_root: Path, lanes: Lanes) -> None:
        self._content = content
        self._data_root = data_root
        self._lanes = lanes

    async def import_tar(
        self, body: AsyncIterator[bytes], *, at_ns: int, changes: Sequence[str], comment: str
    ) -> Arrived:
        """Make an image of a root filesystem."""
        apply_changes(ImageConfig(), changes)  # refused before the upload, not after it
        with await spool(body, self._data_root, self._lanes) as file:
            make = partial(
                self._content.import_tar, file, at_ns=at_ns, changes=changes, comment=comment
            )
            return Arrived(await self._lanes.run(Lane.DISK, make))

    async def load_archive(self, body: AsyncIterator[bytes]) -> tuple[Arrived, ...]:
        """Take in the images of an archive."""
        with await spool(body, self._data_root, self._lanes) as file:
            load = partial(self._content.load_archive, file)
            loaded = await self._lanes.run(Lane.DISK, load)
        return tuple(Arrived(each.contents, each.references) for each in loaded)

    async def commit(
        self,
        layer: AsyncIterator[bytes],
        *,
        parent: ImageId,
        config: ImageConfig,
        step: HistoryEntry,
        at_ns: int,
    ) -> Arrived:
        """Make an image of a layer's tar."""
        make = partial(
            self._content.commit,
            _Blocks(layer),
            parent=parent,
            config=config,
            step=step,
            at_ns=at_ns,
        )
        return Arrived(await self._lanes.run(Lane.DISK, make))

    async def save(self, images: Sequence[NamedImage]) -> "SavedArchive":
        """An archive of images."""
        saved = await self._lanes.run(Lane.DISK, partial(self._content.save, images))
        return SavedArchive(saved, self._lanes)

    def release(self, image: ImageId) -> None:
        """The event that speaks of an image is durable, or will never be."""
        self._content.release(image)

    async def collect(self) -> int:
        """Delete what nobody needs; the bytes won."""
        return (await self._lanes.run(Lane.DISK, self._content.collect)).size_bytes

    async def usage(self) -> Usage:
        """What lies there."""
        found = await self._lanes.run(Lane.DISK, self._content.disk_usage)
        return Usage(sum(layer.size_bytes for layer in found.layers.values()))
