"""Implement the port for the content of images in memory."""

import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import trio
from msgspec.structs import replace

from engine.domain.dockerfile.instructions import apply_changes
from engine.domain.ids import ChainId, DiffId, ImageId
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
from engine.domain.image.reference import parse_reference
from engine.domain.image.saving import NamedImage
from engine.errors import DriverError, InvalidRequest
from engine.ports.content import Arrived, Usage
from tests.fakes.tars import all_of, blocks_of, members_of
from tests.harness.tars import tar_of

ARCHITECTURE = "amd64"


class FakeSaved:
    """An archive that is made while it is read; its images stay until it is closed."""

    def __init__(self, archive: bytes, let_go: Callable[[], None]) -> None:
        self._archive = archive
        self._let_go: Callable[[], None] | None = let_go

    def blocks(self) -> AsyncGenerator[bytes, None]:
        return blocks_of(self._archive)

    def close(self) -> None:
        if self._let_go is not None:
            self._let_go()
            self._let_go = None


class FakeImages:
    """Images as documents and tars."""

    def __init__(self, needed: Callable[[], Collection[ImageId]]) -> None:
        """``needed`` are the images that are present, and those of all containers."""
        self._needed = needed
        self._documents: dict[ImageId, bytes] = {}
        self._layers: dict[ChainId, tuple[ImageLayer, bytes]] = {}
        self._pins: Counter[ImageId] = Counter()

    async def import_tar(
        self, body: AsyncIterator[bytes], *, at_ns: int, changes: Sequence[str], comment: str
    ) -> Arrived:
        config = apply_changes(ImageConfig(), changes)
        layer = self._add_layer(None, await all_of(body))
        document = write_config(
            config,
            layer.diff_id,
            architecture=ARCHITECTURE,
            created=_created(at_ns),
            comment=comment,
        )
        return Arrived(self._add(document, (layer,)))

    async def load_archive(self, body: AsyncIterator[bytes]) -> tuple[Arrived, ...]:
        members = members_of(await all_of(body))
        if "manifest.json" not in members:
            raise InvalidRequest(
                "invalid image archive: it has neither a manifest.json nor an index.json"
            )
        return tuple(self._load(members, each) for each in json.loads(members["manifest.json"]))

    def _load(self, members: dict[str, bytes], image: dict[str, Any]) -> Arrived:
        layers: list[ImageLayer] = []
        for name in image["Layers"]:
            below = layers[-1].chain_id if layers else None
            layers.append(self._add_layer(below, members[name]))
        references = tuple(str(parse_reference(tag).tagged) for tag in image["RepoTags"])
        return Arrived(self._add(members[image["Config"]], tuple(layers)), references)

    async def commit(
        self,
        layer: AsyncIterator[bytes],
        *,
        parent: ImageId,
        config: ImageConfig,
        step: HistoryEntry,
        at_ns: int,
    ) -> Arrived:
        data = await all_of(layer)
        layers = self._layers_of(parent)
        added: tuple[ImageLayer, ...] = ()
        if members_of(data):
            added = (self._add_layer(layers[-1].chain_id if layers else None, data),)
        document = write_child_config(
            self._documents[parent],
            config,
            replace(step, created=_created(at_ns)),
            added[0].diff_id if added else None,
        )
        return Arrived(self._add(document, (*layers, *added)))

    async def save(self, images: Sequence[NamedImage]) -> FakeSaved:
        await trio.lowlevel.checkpoint()
        files: dict[str, bytes] = {}
        manifest = []
        for image in images:
            layers = self._layers_of(image.id)
            config = f"{image.id.removeprefix('sha256:')}.json"
            names = [f"{each.chain_id.removeprefix('sha256:')}/layer.tar" for each in layers]
            files[config] = self._documents[image.id]
            contents = (self._layers[each.chain_id][1] for each in layers)
            files |= dict(zip(names, contents, strict=True))
            manifest.append({"Config": config, "RepoTags": image.tags, "Layers": names})
        files["manifest.json"] = json.dumps(manifest).encode()
        held = [image.id for image in images]
        self._pins.update(held)
        return FakeSaved(tar_of(files), lambda: self._pins.subtract(held))

    def release(self, image: ImageId) -> None:
        self._pins[image] -= 1

    async def collect(self) -> int:
        await trio.lowlevel.checkpoint()
        kept = {*self._needed(), *(+self._pins)}
        gone = self._documents.keys() - kept
        won = sum(len(self._documents.pop(image)) for image in gone)
        used = {each.chain_id for image in self._documents for each in self._layers_of(image)}
        for chain in self._layers.keys() - used:
            layer, _ = self._layers.pop(chain)
            won += layer.blob_bytes + layer.size_bytes
        return won

    async def usage(self) -> Usage:
        await trio.lowlevel.checkpoint()
        return Usage(sum(layer.size_bytes for layer, _ in self._layers.values()))

    def _add_layer(self, parent: ChainId | None, data: bytes) -> ImageLayer:
        files = members_of(data)
        digest = digest_of(data)
        diff_id = DiffId(digest)
        chain = chain_id(parent, diff_id)
        layer = ImageLayer(
            diff_id=diff_id,
            chain_id=chain,
            blob=digest,
            blob_bytes=len(data),
            size_bytes=sum(map(len, files.values())),
        )
        self._layers[chain] = layer, data
        return layer

    def _add(self, document: bytes, layers: tuple[ImageLayer, ...]) -> ImageContents:
        contents = contents_of(document, layers)
        self._documents[contents.id] = document
        self._pins[contents.id] += 1
        return contents

    def _layers_of(self, image: ImageId) -> tuple[ImageLayer, ...]:
        if image not in self._documents:
            raise DriverError(f"image {image} is missing")
        diff_ids = read_config(self._documents[image]).rootfs.diff_ids
        return tuple(self._layers[chain][0] for chain in chain_ids(diff_ids))


def _created(at_ns: int) -> str:
    """Whole seconds as RFC 3339."""
    return datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
