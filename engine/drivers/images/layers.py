"""Unpack layers, each chain ID once for all images and containers.

    layers/HEX24/        what the layer changes, as overlay wants it
    layers/HEX24.json    whose it is: an ImageLayer; written last, so that a directory without it is nobody's

A layer is made under ``incoming`` and named only when it is whole and durable.
"""

import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from engine.domain import naming
from engine.domain.ids import ChainId, DiffId, Digest
from engine.domain.image.config import ImageLayer, chain_id
from engine.drivers.images.unpack import unpack
from engine.drivers.storage.files import disk_error, replace_file
from engine.drivers.storage.trees import incoming_directory, remove_tree, set_aside
from engine.drivers.tar.source import Source
from engine.errors import DriverError
from engine.failpoints import failpoint

_RECORD: Final = ".json"


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer that has arrived: its plain tar, and the bytes as they came."""

    diff_id: DiffId
    source: Source
    blob: Digest
    blob_bytes: int
    keep_blob: Callable[[], None]
    """Called once the archive has proved sound."""


class LayerStore:
    """The layers below one data root."""

    def __init__(self, data_root: Path) -> None:
        self._data_root = data_root
        self._root = data_root / "layers"
        self._naming = threading.Lock()

    def find(self, chain: ChainId) -> ImageLayer | None:
        """A layer that is there and whole.

        Raises:
            DriverError: its record can't be read, or is another's.
        """
        directory = naming.layer_directory(self._data_root, chain)
        try:
            layer = _read_record(_record_path(directory))
        except FileNotFoundError:
            return None
        if layer.chain_id != chain:
            raise DriverError(f"the directory of layer {chain} is that of {layer.chain_id}")
        return layer if directory.is_dir() else None

    def make(self, parent: ChainId | None, packed: PackedLayer) -> ImageLayer:
        """Unpack a layer on top of ``parent``, unless it is there.

        Raises:
            InvalidRequest: the archive is damaged or wants what can't be; nothing is left of it.
            Unavailable: the disk is full; likewise.
            DriverError: the kernel refuses otherwise; likewise.
        """
        chain = chain_id(parent, packed.diff_id)
        known = self.find(chain)
        if known is not None:
            return known
        directory = incoming_directory(self._data_root) / secrets.token_hex(8)
        try:
            self._prepare(directory, parent)
            lowest = parent is None
            size_bytes = unpack(packed.source, directory, self._data_root, lowest=lowest)
            failpoint("layer_unpacked")
            os.sync()  # one call for thousands of files; fsync(2) on each takes fifteen times as long
            packed.keep_blob()
            layer = ImageLayer(
                diff_id=packed.diff_id,
                chain_id=chain,
                blob=packed.blob,
                blob_bytes=packed.blob_bytes,
                size_bytes=size_bytes,
            )
            self._give_name(directory, layer)
        except OSError as error:
            raise disk_error(f"make layer {chain}", error) from error
        finally:
            remove_tree(directory, self._data_root)
        return layer

    def _prepare(self, directory: Path, parent: ChainId | None) -> None:
        """The root of a layer whose archive says nothing of it is like the root below."""
        directory.mkdir(parents=True)
        directory.chmod(0o755)
        if parent is not None:
            below = naming.layer_directory(self._data_root, parent).stat()
            os.chown(directory, below.st_uid, below.st_gid)
            directory.chmod(stat.S_IMODE(below.st_mode))

    def _give_name(self, directory: Path, layer: ImageLayer) -> None:
        final = naming.layer_directory(self._data_root, layer.chain_id)
        with self._naming:  # or one thread takes the other's directory for a crash's
            if self.find(layer.chain_id) is not None:
                return  # another import was quicker; a layer is always the same
            remove_tree(final, self._data_root)  # without a record: we died below, once
            self._root.mkdir(mode=0o711, parents=True, exist_ok=True)
            directory.rename(final)
            failpoint("layer_named")
            replace_file(_record_path(final), msgspec.json.encode(layer), mode=0o600)

    def all(self) -> dict[ChainId, ImageLayer]:
        """Every whole layer."""
        layers = (_read_record(path) for path in self._root.glob("*" + _RECORD))
        return {layer.chain_id: layer for layer in layers}

    def set_aside(self, chain: ChainId) -> list[Path]:
        """Move a layer to the trash. Its record goes first: half a layer is none."""
        directory = naming.layer_directory(self._data_root, chain)
        parts = (_record_path(directory), directory)
        graves = (set_aside(part, self._data_root) for part in parts)
        return [grave for grave in graves if grave is not None]

    def remove_unfinished(self) -> None:
        """Take away directories without a record: left by a crash. Only while nothing is being
        made.
        """
        for directory in self._directories():
            if not _record_path(directory).exists():
                remove_tree(directory, self._data_root)

    def _directories(self) -> Iterator[Path]:
        if self._root.is_dir():
            yield from (path for path in self._root.iterdir() if path.is_dir())

    def empty_directory(self) -> Path:
        """What an image without layers stands on: overlay(5) wants something below."""
        empty = self._data_root / "empty"
        empty.mkdir(mode=0o755, exist_ok=True)
        return empty


def _record_path(directory: Path) -> Path:
    return directory.with_name(directory.name + _RECORD)


def _read_record(path: Path) -> ImageLayer:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ImageLayer)
    except msgspec.DecodeError as error:
        raise DriverError(f"read {path}: {error}") from error
