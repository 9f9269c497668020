"""Declare the port for the content of images: bytes on the disk."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.domain.ids import ImageId
from engine.domain.image.config import HistoryEntry, ImageConfig, ImageContents
from engine.domain.image.saving import NamedImage


@dataclass(frozen=True, slots=True)
class Arrived:
    """An image that came in, and the canonical references that it came with. It is kept until it is
    released.
    """

    contents: ImageContents
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What images take on the disk; layers shared by several are counted once."""

    layers_bytes: int


class Saved(Protocol):
    """An archive of images that is about to be read. Whoever has it closes it."""

    def blocks(self) -> AsyncGenerator[bytes, None]:
        """The archive, once."""
        ...

    def close(self) -> None:
        """Let go of everything; twice does no harm."""
        ...


class ImageStore(Protocol):
    """Takes images in, and forgets what no image and no container needs."""

    async def import_tar(
        self, body: AsyncIterator[bytes], *, at_ns: int, changes: Sequence[str], comment: str
    ) -> Arrived:
        """Make an image of a root filesystem.

        Raises:
            InvalidRequest: it is damaged; nothing is left of it.
        """
        ...

    async def load_archive(self, body: AsyncIterator[bytes]) -> tuple[Arrived, ...]:
        """Take in the images of an archive, all or none.

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
        """Make an image of a layer's tar, on top of another that a container keeps.

        Raises:
            Unavailable: the disk is full; nothing is left of it.
        """
        ...

    async def save(self, images: Sequence[NamedImage]) -> Saved:
        """An archive of images, as ``docker save`` writes it. What it holds stays until it is
        closed.
        """
        ...

    def release(self, image: ImageId) -> None:
        """The event that speaks of an image is durable, or will never be."""
        ...

    async def collect(self) -> int:
        """Delete what nobody needs.

        Returns:
            Bytes won.
        """
        ...

    async def usage(self) -> Usage:
        """What lies there."""
        ...
