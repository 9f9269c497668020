"""Receive an upload as a plain tar that can be read at any offset."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from engine.domain.ids import DiffId
from engine.drivers.images.blobs import Arrival, BlobStore
from engine.drivers.images.layers import PackedLayer
from engine.tar.compression import MAGIC_BYTES_MAX, unpacker
from engine.tar.source import Source

_READ_BYTES: Final = 1 << 20


class PartReader:
    """Reads a part of a file as a stream."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0

    def read(self, size: int = _READ_BYTES, /) -> bytes:
        """Return the next bytes; none at the end."""
        content = self._source.read(self._at, size)
        self._at += len(content)
        return content


@contextmanager
def plain_tar(blobs: BlobStore, arrival: Arrival) -> Iterator[tuple[Source, DiffId]]:
    """Yield an upload's uncompressed tar and the digest of that. The tar is deleted at the end.

    Raises:
        MalformedArchive: the compressed data is damaged or truncated.
        Unavailable: the disk is full.
    """
    packed = Source(arrival.fd)
    opened = unpacker(packed.read(0, MAGIC_BYTES_MAX))
    if opened is None:
        yield packed, DiffId(arrival.digest)
        return
    with arrival.path.open("rb") as file, blobs.receive(opened(file)) as plain:
        yield Source(plain.fd), DiffId(plain.digest)


def plain_layer(blobs: BlobStore, arrival: Arrival) -> PackedLayer:
    """Make a layer from a tar of our own, which is never compressed, whatever its first name looks
    like.
    """
    return PackedLayer(
        diff_id=DiffId(arrival.digest),
        source=Source(arrival.fd),
        blob=arrival.digest,
        blob_bytes=arrival.size_bytes,
        keep_blob=lambda: blobs.keep(arrival),
    )


@contextmanager
def packed_layer(blobs: BlobStore, arrival: Arrival) -> Iterator[PackedLayer]:
    """Make a layer from an upload, compressed or not."""
    with plain_tar(blobs, arrival) as (source, diff_id):
        yield PackedLayer(
            diff_id=diff_id,
            source=source,
            blob=arrival.digest,
            blob_bytes=arrival.size_bytes,
            keep_blob=lambda: blobs.keep(arrival),
        )
