"""Import, load, save, tag and remove images. Content is stored before the event that names it, and
deleted after its removal is recorded.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

from engine.domain.container.state import Container
from engine.domain.event import Origin
from engine.domain.ids import ImageId
from engine.domain.image.reference import parse_reference, parse_repository
from engine.domain.image.removal import Removal, Use, decide_remove, find_image
from engine.domain.image.saving import named_images
from engine.domain.image.sizes import shared_bytes
from engine.domain.image.state import (
    Change,
    Image,
    ImageSaved,
    decide_import,
    decide_load,
    decide_tag,
)
from engine.domain.streams import image_stream
from engine.ports.content import ImageStore, Saved, Usage
from engine.service.arrivals import kept
from engine.store.ledger import Ledger


class Images:
    """Lists, imports, tags and removes images. A word is a reference, an ID, or the unique
    beginning of one.
    """

    def __init__(self, ledger: Ledger, store: ImageStore) -> None:
        self._ledger = ledger
        self._store = store

    def all(self) -> tuple[Image, ...]:
        """Return all present images, newest first."""
        present = (image for image in self._ledger.durable.images.values() if not image.removed)
        return tuple(sorted(present, key=lambda image: image.contents.created, reverse=True))

    def get(self, word: str) -> Image:
        """Return one image.

        Raises:
            NoSuchImage: there is none.
            InvalidReference: the word could not be one's name.
        """
        return find_image(self._ledger.durable.images, word)

    def users(self, image: ImageId) -> tuple[Container, ...]:
        """Return the containers that were made from an image."""
        containers = self._ledger.durable.containers.values()
        return tuple(each for each in containers if each.spec.image_id == image)

    def use_counts(self) -> Counter[ImageId]:
        """Return how many containers were made from each image."""
        return Counter(each.spec.image_id for each in self._ledger.durable.containers.values())

    def shared_bytes(self) -> Mapping[ImageId, int]:
        """Return the bytes of each image that other images have too."""
        return shared_bytes(self._ledger.durable.images)

    def has_reference(self, reference: str) -> bool:
        """Return whether a canonical reference points at an image."""
        return any(reference in image.references for image in self.all())

    def has_repository(self, name: str) -> bool:
        """Return whether any reference of a repository points at an image."""
        references = (word for image in self.all() for word in image.references)
        return any(parse_reference(word).name == name for word in references)

    async def import_tar(
        self,
        body: AsyncIterator[bytes],
        origin: Origin,
        *,
        repository: str,
        tag: str,
        changes: Sequence[str] = (),
        comment: str = "",
        source: str = "-",
    ) -> Image:
        """Make an image of a root filesystem. Without a repository it has no name.

        Raises:
            InvalidRequest: a name, a change or the tar is malformed; nothing is left.
        """
        reference = str(parse_repository(repository, tag).tagged) if repository else None
        at_ns = self._ledger.clock.wall_ns()
        words = comment or f"Imported from {source}"
        arrived = await self._store.import_tar(body, at_ns=at_ns, changes=changes, comment=words)
        contents = arrived.contents
        async with kept(self._store, [contents.id]):
            decided = decide_import(self._ledger.head.images, contents, source, reference)
            await self._record(decided, origin)
        return self._ledger.durable.images[contents.id]

    async def load(
        self, body: AsyncIterator[bytes], origin: Origin
    ) -> tuple[tuple[Image, tuple[str, ...]], ...]:
        """Load the images of an archive.

        Returns:
            Each image with the references that the archive gave it.
        """
        arrived = await self._store.load_archive(body)
        async with kept(self._store, [each.contents.id for each in arrived]):
            for each in arrived:
                decided = decide_load(self._ledger.head.images, each.contents, each.references)
                await self._record(decided, origin)
        images = self._ledger.durable.images
        return tuple((images[each.contents.id], each.references) for each in arrived)

    async def save(self, words: Sequence[str], origin: Origin) -> Saved:
        """Return an archive of images, which the caller closes. A word that is a repository means
        all its tags.

        Raises:
            NoSuchImage, InvalidReference.
        """
        named = named_images(self._ledger.head.images, words)
        saved = await self._store.save(named)
        try:
            changes = tuple(Change(each.id, (ImageSaved(),)) for each in named)
            await self._record(changes, origin)
        except BaseException:
            saved.close()
            raise
        return saved

    async def tag(self, word: str, origin: Origin, *, repository: str, tag: str) -> None:
        """Give an image one more name.

        Raises:
            NoSuchImage, InvalidReference.
        """
        image = self.get(word)
        reference = str(parse_repository(repository, tag).tagged)
        await self._record(decide_tag(self._ledger.head.images, image.id, reference), origin)

    async def remove(self, word: str, origin: Origin, *, force: bool) -> Removal:
        """Remove a name, and with the last name the image.

        Raises:
            NoSuchImage: there is none.
            ImageInUse: a container or another name keeps it.
        """
        uses = (
            Use(container=each.id, image=each.spec.image_id, running=each.is_running)
            for each in self._ledger.head.containers.values()
        )
        removal = decide_remove(self._ledger.head.images, word, uses, force=force)
        await self._record(removal.changes, origin)
        if removal.deleted is not None:
            await self._store.collect()
        return removal

    async def collect(self) -> int:
        """Delete what no image and no container needs, and return its size in bytes."""
        return await self._store.collect()

    async def usage(self) -> Usage:
        """Return what all images take on the disk."""
        return await self._store.usage()

    async def _record(self, changes: tuple[Change, ...], origin: Origin) -> None:
        decisions = ((image_stream(change.image), change.events) for change in changes)
        await self._ledger.record(origin, *decisions)
