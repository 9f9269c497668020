"""Store the content of images, and delete what no image needs.

    upload ─▶ incoming/X ─▶ plain tar, diff ID ─▶ incoming/Y/ ─▶ layers/HEX24/ + .json
                  └───────────────────────────────▶ content/blobs/sha256/DIGEST   (as received)
                                                    content/blobs/sha256/IMAGE    (the config)

Everything is found again from an image's ID: its blob lists the diff IDs, those give the chain IDs,
and each layer's record names its blob. So the content that is needed follows from image IDs alone:
those of the present images and of the existing containers; the rest is garbage. Content is stored
before the event that refers to it is recorded; until the event is durable, pins protect the content
from collection. A crash loses the pins, and what they protected is garbage afterwards.

All methods block: they belong on a thread, and may be called on several at once.
"""

import contextlib
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from engine.domain import naming
from engine.domain.dockerfile.instructions import apply_changes
from engine.domain.ids import ChainId, DiffId, Digest, ImageId
from engine.domain.image.config import (
    HistoryEntry,
    ImageConfig,
    ImageContents,
    ImageLayer,
    chain_id,
    chain_ids,
    contents_of,
    digest_of,
    read_config,
    write_child_config,
    write_config,
)
from engine.domain.image.saving import NamedImage
from engine.drivers.images.archives import ArchivedImage, read_archive
from engine.drivers.images.blobs import BlobStore
from engine.drivers.images.layers import LayerStore, PackedLayer
from engine.drivers.images.pins import Hold, Pins
from engine.drivers.images.save import PackedImage, SavedImages
from engine.drivers.images.uploads import PartReader, packed_layer, plain_layer, plain_tar
from engine.drivers.storage.files import disk_error
from engine.drivers.storage.trees import delete_trash, empty_trash, incoming_directory, remove_tree
from engine.errors import DriverError, EngineError, InvalidRequest
from engine.failpoints import failpoint
from engine.tar.compression import Reader
from engine.tar.source import Source
from engine.tar.writer import END

IMPORT_COMMENT: Final = "Imported from -"
LOWERS_MAX: Final = 256
"""Number of images whose layers are cached: reading a config and its digest would take 0.2 ms of
each start.
"""
NOTHING: Final = digest_of(END)
"""Digest of the tar of a layer that changes nothing. Such a layer is left out, as in Docker."""


@dataclass(frozen=True, slots=True)
class LoadedImage:
    """An image from an archive, with the canonical references that the archive gives it."""

    contents: ImageContents
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """The disk space of images; layers shared by several images are counted once."""

    layers: dict[ChainId, ImageLayer]
    blobs: dict[Digest, int]

    @property
    def size_bytes(self) -> int:
        """The size of all layers and blobs."""
        return sum(layer.size_bytes for layer in self.layers.values()) + sum(self.blobs.values())


class Content:
    """The content of the images of one data root.

    Args:
        needed: returns the images that are present and those of all containers, as the log has them
            now. It is called on the thread that collects, so it must copy in one step what another
            thread may be changing.
        architecture: of this machine, in Go's words (``amd64``).
    """

    def __init__(
        self, data_root: Path, needed: Callable[[], Collection[ImageId]], architecture: str
    ) -> None:
        self._data_root = data_root
        self._needed = needed
        self._architecture = architecture
        self._blobs = BlobStore(data_root)
        self._layers = LayerStore(data_root)
        self._pins = Pins()
        self._lower = lru_cache(maxsize=LOWERS_MAX)(self._find_lower)

    # --- receiving ---

    def import_tar(
        self,
        reader: Reader,
        *,
        at_ns: int,
        changes: Sequence[str] = (),
        comment: str = IMPORT_COMMENT,
    ) -> ImageContents:
        """Make an image from a root file system's tar, compressed or not. It is pinned until
        :meth:`release`.

        Raises:
            InvalidRequest: a bad change, a damaged archive; nothing is left of it.
            Unavailable: the disk is full; likewise.
            DriverError: the kernel refuses for another reason; likewise.
        """
        config = apply_changes(ImageConfig(), changes)  # refuse a bad change before the upload
        with (
            self._collected_on_failure(),
            self._pins.hold() as hold,
            self._blobs.receive(reader) as arrival,
        ):
            with packed_layer(self._blobs, arrival) as packed:
                layer = self._make_layer(hold, None, packed)
            document = write_config(
                config,
                layer.diff_id,
                architecture=self._architecture,
                created=_rfc3339(at_ns),
                comment=comment,
            )
            return self._finished(hold, document, (layer,))

    def load_archive(self, reader: Reader) -> tuple[LoadedImage, ...]:
        """Load the images of an archive, all or none. They are pinned until :meth:`release`.

        Raises:
            InvalidRequest: a damaged archive, or one that is not of images; nothing is left of it.
            Unavailable: the disk is full; likewise.
            DriverError: the kernel refuses for another reason; likewise.
        """
        with (
            self._collected_on_failure(),
            contextlib.ExitStack() as undo,
            self._blobs.receive(reader) as arrival,
            plain_tar(self._blobs, arrival) as (source, _),
        ):
            loaded: list[LoadedImage] = []
            for image in read_archive(source, self._architecture):
                loaded.append(self._load(image))
                undo.callback(self.release, loaded[-1].contents.id)
            undo.pop_all()
            return tuple(loaded)

    def commit(
        self,
        reader: Reader,
        *,
        parent: ImageId,
        config: ImageConfig,
        step: HistoryEntry,
        at_ns: int,
    ) -> ImageContents:
        """Make an image from the tar of one layer on top of another image. It is pinned until
        :meth:`release`.

        Args:
            reader: the layer's tar, not compressed.
            parent: the image below; a container protects it from collection.
            config: of the image.
            step: the history entry, without the time.
            at_ns: the time of the history entry.

        Raises:
            Unavailable: the disk is full; nothing is left of it.
            DriverError: the kernel refuses for another reason, or the parent is damaged; likewise.
        """
        document = self._blobs.read(Digest(parent))
        with self._collected_on_failure(), self._pins.hold() as hold:
            layers = self._standing(hold, document)
            with self._blobs.receive(reader) as arrival:
                changed = arrival.digest != NOTHING
                if changed:
                    below = layers[-1].chain_id if layers else None
                    layers = (
                        *layers,
                        self._make_layer(hold, below, plain_layer(self._blobs, arrival)),
                    )
            try:
                failpoint("commit_layer_made")
            except OSError as error:
                raise disk_error(f"commit on {parent}", error) from error
            child = write_child_config(
                document,
                config,
                replace(step, created=_rfc3339(at_ns)),
                layers[-1].diff_id if changed else None,
            )
            return self._finished(hold, child, layers)

    def _standing(self, hold: Hold, document: bytes) -> tuple[ImageLayer, ...]:
        """Return the layers of an existing image, and pin them."""
        layers: list[ImageLayer] = []
        for chain in chain_ids(read_config(document).rootfs.diff_ids):
            hold.add(chain)
            layer = self._layers.find(chain)
            if layer is None:
                raise DriverError(f"layer {chain} is missing")
            hold.add(layer.blob)
            layers.append(layer)
        return tuple(layers)

    def save(self, images: Sequence[NamedImage]) -> SavedImages:
        """Return an archive of images, to be read in blocks. Its content is pinned until it is
        closed.

        Raises:
            DriverError: some content of an image is missing or damaged.
        """
        with contextlib.ExitStack() as undo:
            hold = undo.enter_context(self._pins.hold())
            packed = []
            for image in images:
                hold.add(image.id)
                document = self._blobs.read(Digest(image.id))
                packed.append(PackedImage(image, document, self._standing(hold, document)))
            return SavedImages(self._blobs, tuple(packed), undo.pop_all())

    def release(self, image: ImageId) -> None:
        """Unpin an image: the event that refers to it is durable, or will never be. Call once for
        each import and load.
        """
        self._pins.release(image)

    def _load(self, image: ArchivedImage) -> LoadedImage:
        layers: list[ImageLayer] = []
        with self._pins.hold() as hold:
            for diff_id, source in zip(image.document.rootfs.diff_ids, image.layers, strict=True):
                parent = layers[-1].chain_id if layers else None
                layers.append(self._load_layer(hold, parent, diff_id, source))
            contents = self._finished(hold, image.config, tuple(layers))
        return LoadedImage(contents, image.references)

    def _load_layer(
        self, hold: Hold, parent: ChainId | None, diff_id: DiffId, source: Source
    ) -> ImageLayer:
        chain = chain_id(parent, diff_id)
        hold.add(chain)
        known = self._layers.find(chain)
        if known is not None:
            return known
        with (
            self._blobs.receive(PartReader(source)) as arrival,
            packed_layer(self._blobs, arrival) as packed,
        ):
            if packed.diff_id != diff_id:
                raise InvalidRequest(
                    f"invalid diffID for layer: expected {diff_id}, got {packed.diff_id}"
                )
            return self._make_layer(hold, parent, packed)

    def _make_layer(self, hold: Hold, parent: ChainId | None, packed: PackedLayer) -> ImageLayer:
        hold.add(chain_id(parent, packed.diff_id))
        hold.add(packed.blob)
        return self._layers.make(parent, packed)

    def _finished(
        self, hold: Hold, document: bytes, layers: tuple[ImageLayer, ...]
    ) -> ImageContents:
        contents = contents_of(document, layers)
        hold.add(contents.id)
        with self._blobs.receive(io.BytesIO(document)) as arrival:
            self._blobs.keep(arrival)
        hold.settle(contents.id)
        return contents

    @contextlib.contextmanager
    def _collected_on_failure(self) -> Iterator[None]:
        """Collect garbage if the block fails, so that nothing is left of what it made."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(EngineError):  # the first failure is the one to report
                self.collect()
            raise

    # --- reading ---

    def lower_directories(self, image: ImageId) -> tuple[Path, ...]:
        """Return the layers of an image as overlay's ``lowerdir`` lists them: the topmost first,
        and at least one.

        Raises:
            DriverError: the image's config is missing or damaged.
        """
        return self._lower(image)

    def _find_lower(self, image: ImageId) -> tuple[Path, ...]:
        chain = reversed(self._chain(image))
        lower = tuple(naming.layer_directory(self._data_root, layer) for layer in chain)
        return lower or (self._layers.empty_directory(),)

    def disk_usage(self) -> DiskUsage:
        """Return the disk usage of all content, needed or not."""
        return DiskUsage(self._layers.all(), self._blobs.sizes())

    def _chain(self, image: ImageId) -> tuple[ChainId, ...]:
        document = read_config(self._blobs.read(Digest(image)))
        return chain_ids(document.rootfs.diff_ids)

    # --- deleting ---

    def collect(self) -> DiskUsage:
        """Delete what no image and no container needs and no pin protects, and return that.

        Raises:
            DriverError: the config of a needed image is damaged, so its layers are unknown; or the
                kernel refuses: the rest is deleted, and what could not be deleted stays in the
                trash.
        """
        with self._pins.lock:
            garbage = self._unreferenced()
            trashed = [each for chain in garbage.layers for each in self._layers.set_aside(chain)]
            trashed += filter(None, map(self._blobs.set_aside, garbage.blobs))
        for directory in trashed:
            delete_trash(directory)
        return garbage

    def sweep(self) -> tuple[str, ...]:
        """Delete what a crash left unfinished. Call once, before any other method.

        Returns:
            What went wrong. Each part is done even if another fails, and none is needed to go on.
        """
        parts: tuple[Callable[[], None], ...] = (
            partial(remove_tree, incoming_directory(self._data_root), self._data_root),
            self._layers.remove_unfinished,
            partial(empty_trash, self._data_root),
        )
        return tuple(filter(None, map(_problem_of, parts)))

    def _unreferenced(self) -> DiskUsage:
        needed, pinned = set(self._needed()), self._pins.pinned()
        chains = {chain for image in needed for chain in self._chain(image)} | pinned
        layers = self._layers.all()
        blobs = {layer.blob for chain, layer in layers.items() if chain in chains}
        kept = blobs | needed | pinned
        return DiskUsage(
            {chain: layer for chain, layer in layers.items() if chain not in chains},
            {blob: size for blob, size in self._blobs.sizes().items() if blob not in kept},
        )


def _problem_of(part: Callable[[], None]) -> str | None:
    try:
        part()
    except (DriverError, OSError) as error:
        return str(error)
    return None


def _rfc3339(at_ns: int) -> str:
    """Return ``2026-11-23T19:07:53.569914252Z``: nanoseconds without trailing zeros, as Go writes
    them.
    """
    seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanoseconds:09}".rstrip("0").rstrip(".")
    return f"{whole}{fraction}Z"
