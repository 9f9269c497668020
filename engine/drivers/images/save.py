"""Write an archive of images as Docker has written it since its version 25: an OCI image layout,
with the older files beside it.

    blobs/sha256/…      layers, each once and not compressed; configs; one OCI manifest per image
    index.json          the manifests, one line for each tag (OCI image-layout)
    manifest.json       the same for ``docker load`` of every age
    oci-layout
    repositories        tag → topmost layer, for even older versions

A layer is named by its diff ID, and its bytes are checked against it while they are sent. A
compressed layer is unpacked into a file first, one layer at a time: a tar's header must give the
length of a file.
"""

import hashlib
import stat
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from engine.domain.ids import DiffId, Digest
from engine.domain.image.config import ImageLayer, digest_of
from engine.domain.image.reference import Reference, parse_reference
from engine.domain.image.saving import NamedImage
from engine.drivers.images.blobs import BlobStore
from engine.errors import DriverError
from engine.tar.compression import MAGIC_BYTES_MAX, unpacker
from engine.tar.source import Source
from engine.tar.stream import BLOCK_BYTES, joined
from engine.tar.writer import header, made_up, padding

_BLOBS: Final = "blobs/sha256/"
_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"

_Json = dict[str, Any]  # Any: what the specification's JSON says


@dataclass(frozen=True, slots=True)
class PackedImage:
    """An image with its config and layers."""

    named: NamedImage
    document: bytes
    layers: tuple[ImageLayer, ...]

    @property
    def tags(self) -> tuple[Reference, ...]:
        """The tags that it is saved with."""
        return tuple(map(parse_reference, self.named.tags))


class SavedImages:
    """One archive.

    Args:
        held: holds the pins that protect the content from collection.
    """

    def __init__(self, blobs: BlobStore, images: tuple[PackedImage, ...], held: ExitStack) -> None:
        self._blobs = blobs
        self._images = images
        self._held = held

    def close(self) -> None:
        """Unpin the content; a second call does nothing."""
        self._held.close()

    def blocks(self) -> Generator[bytes, None, None]:
        """Yield the archive."""
        yield from joined(self._parts())

    def _parts(self) -> Iterator[bytes]:
        for name in ("blobs/", _BLOBS):
            yield header(made_up(name, kind=stat.S_IFDIR, mode=0o755))
        layer_bytes: dict[DiffId, int] = {}
        for layer in (layer for image in self._images for layer in image.layers):
            if layer.diff_id not in layer_bytes:
                with _plain(self._blobs, layer) as plain:
                    layer_bytes[layer.diff_id] = plain.size_bytes
                    yield from _layer_file(layer, plain)
        manifests = [_manifest(image, layer_bytes) for image in self._images]
        documents = (image.document for image in self._images)
        for content in dict.fromkeys((*documents, *manifests)):
            yield _file(_blob_path(digest_of(content)), content)
        pairs = list(zip(self._images, manifests, strict=True))
        lines = [line for image, manifest in pairs for line in _index_lines(image, manifest)]
        yield _json_file(
            "index.json", {"schemaVersion": 2, "mediaType": _INDEX, "manifests": lines}
        )
        yield _json_file("manifest.json", list(map(_docker_line, self._images)))
        yield _json_file("oci-layout", {"imageLayoutVersion": "1.0.0"})
        if repositories := _repositories(self._images):
            yield _json_file("repositories", repositories)


@contextmanager
def _plain(blobs: BlobStore, layer: ImageLayer) -> Iterator[Source]:
    """Return a layer's uncompressed tar."""
    with blobs.open(layer.blob) as file:
        packed = Source(file.fileno())
        is_plain = str(layer.blob) == str(layer.diff_id)
        opened = None if is_plain else unpacker(packed.read(0, MAGIC_BYTES_MAX))
        if opened is None:
            yield packed
            return
        with blobs.receive(opened(file)) as arrival:
            yield Source(arrival.fd)


def _layer_file(layer: ImageLayer, plain: Source) -> Iterator[bytes]:
    yield header(made_up(_blob_path(Digest(layer.diff_id)), plain.size_bytes))
    digest = hashlib.sha256()
    at = 0
    while content := plain.read(at, BLOCK_BYTES):
        digest.update(content)
        at += len(content)
        yield content
    if f"sha256:{digest.hexdigest()}" != layer.diff_id:
        raise DriverError(f"read layer {layer.diff_id}: it is damaged")
    yield padding(plain.size_bytes)


def _manifest(image: PackedImage, layer_bytes: dict[DiffId, int]) -> bytes:
    layers = (layer.diff_id for layer in image.layers)
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, image.named.id, len(image.document)),
            "layers": [_descriptor(_LAYER, diff_id, layer_bytes[diff_id]) for diff_id in layers],
        }
    )


def _index_lines(image: PackedImage, manifest: bytes) -> list[_Json]:
    descriptor = _descriptor(_MANIFEST, digest_of(manifest), len(manifest))
    named = [
        {
            "annotations": {
                "io.containerd.image.name": str(tag),
                "org.opencontainers.image.ref.name": tag.tag,
            }
        }
        for tag in image.tags
    ]
    return [descriptor | names for names in named or [{}]]


def _docker_line(image: PackedImage) -> _Json:
    return {
        "Config": _blob_path(Digest(image.named.id)),
        "RepoTags": [tag.familiar for tag in image.tags] or None,
        "Layers": [_blob_path(Digest(layer.diff_id)) for layer in image.layers],
    }


def _repositories(images: tuple[PackedImage, ...]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for image in images:
        for tag in image.tags if image.layers else ():
            topmost = image.layers[-1].diff_id.removeprefix("sha256:")
            found.setdefault(tag.familiar_name, {})[tag.tag or ""] = topmost
    return found


def _descriptor(media_type: str, digest: str, size_bytes: int) -> _Json:
    return {"mediaType": media_type, "digest": digest, "size": size_bytes}


def _blob_path(digest: Digest) -> str:
    return _BLOBS + digest.removeprefix("sha256:")


def _json_file(name: str, value: Any) -> bytes:  # Any: everything msgspec can encode
    return _file(name, msgspec.json.encode(value))


def _file(name: str, content: bytes) -> bytes:
    return header(made_up(name, len(content))) + content + padding(len(content))
