"""Answer the port for the content of images, on threads.

An upload is spooled before a thread of Lane.DISK unpacks it, because a client may send slowly. The
layer of a commit is read by the thread that unpacks it, because it comes from the same disk.
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
    """A layer's tar that is made while a thread reads it, with a blocking ``read``."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int = 1 << 20, /) -> bytes:
        """Return up to ``size`` bytes; none at the end. Called on a lane's thread."""
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
    """An archive that is made while it is read: a thread is used only while a block is made."""

    def __init__(self, saved: SavedImages, lanes: Lanes) -> None:
        self._saved = saved
        self._parts = saved.blocks()
        self._lanes = lanes

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """Yield the archive; each block is made when the one before has been consumed."""
        while block := await self._lanes.run(Lane.SPOOL, partial(next, self._parts, b"")):
            yield block

    def close(self) -> None:
        """Unpin the images."""
        self._parts.close()
        self._saved.close()


class LinuxImages:
    """The port for the images of one data root."""

    def __init__(self, content: Content, data_root: Path, lanes: Lanes) -> None:
        self._content = content
        self._data_root = data_root
        self._lanes = lanes

    async def import_tar(
        self, body: AsyncIterator[bytes], *, at_ns: int, changes: Sequence[str], comment: str
    ) -> Arrived:
        """Make an image from a root file system's tar."""
        apply_changes(ImageConfig(), changes)  # refuse a bad change before the upload
        with await spool(body, self._data_root, self._lanes) as file:
            make = partial(
                self._content.import_tar, file, at_ns=at_ns, changes=changes, comment=comment
            )
            return Arrived(await self._lanes.run(Lane.DISK, make))

    async def load_archive(self, body: AsyncIterator[bytes]) -> tuple[Arrived, ...]:
        """Load the images of an archive."""
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
        """Make an image from a layer's tar."""
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
        """Return an archive of images."""
        saved = await self._lanes.run(Lane.DISK, partial(self._content.save, images))
        return SavedArchive(saved, self._lanes)

    def release(self, image: ImageId) -> None:
        """Unpin an image: the event that refers to it is durable, or will never be."""
        self._content.release(image)

    async def collect(self) -> int:
        """Delete what is not needed; return the number of bytes freed."""
        return (await self._lanes.run(Lane.DISK, self._content.collect)).size_bytes

    async def usage(self) -> Usage:
        """Return the disk usage of all layers."""
        found = await self._lanes.run(Lane.DISK, self._content.disk_usage)
        return Usage(sum(layer.size_bytes for layer in found.layers.values()))
