"""Declare the port for the content of images: bytes on the disk."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.domain.ids import ImageId
from engine.domain.image.config import HistoryEntry, ImageConfig, ImageContents
from engine.domain.image.saving import NamedImage


@dataclass(frozen=True, slots=True)
class Arrived:
    """An image that came in, with the canonical references that it came with. Its content is kept
    until it is released.
    """

    contents: ImageContents
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What images take on the disk; layers that several share are counted once."""

    layers_bytes: int


class Saved(Protocol):
    """An archive of images that is about to be read. The caller closes it."""

    def blocks(self) -> AsyncGenerator[bytes, None]:
        """Yield the archive, once."""
        ...

    def close(self) -> None:
        """Release everything that the archive holds. Closing twice is fine."""
        ...


class ImageStore(Protocol):
    """Stores the content of images, and deletes what no image and no container needs."""

    async def import_tar(
        self, body: AsyncIterator[bytes], *, at_ns: int, changes: Sequence[str], comment: str
    ) -> Arrived:
        """Make an image of a root filesystem.

        Raises:
            InvalidRequest: it is damaged; nothing is left of it.
        """
        ...

    async def load_archive(self, body: AsyncIterator[bytes]) -> tuple[Arrived, ...]:
        """Store the images of an archive, all or none.

        Raises:
            InvalidRequest: it is damaged; nothing is left of it.
        """
        ...

    async def commit(
        self,
        layer: AsyncIterator[bytes],
        *,
        parent: ImageId,
        config: ImageConfig,
        step: HistoryEntry,
        at_ns: int,
    ) -> Arrived:
        """Make an image of a layer's tar, on top of an image that a container keeps.

        Raises:
            Unavailable: the disk is full; nothing is left of it.
        """
        ...

    async def save(self, images: Sequence[NamedImage]) -> Saved:
        """Return an archive of images, as ``docker save`` writes it. Its content stays until it is
        closed.
        """
        ...

    def release(self, image: ImageId) -> None:
        """Release an image's content: its event is durable, or will never be."""
        ...

    async def collect(self) -> int:
        """Delete what no image and no container needs.

        Returns:
            Bytes won.
        """
        ...

    async def usage(self) -> Usage:
        """Return what all images take on the disk."""
        ...
