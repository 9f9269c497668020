"""Unpack layers, each chain ID once for all images and containers.

    layers/HEX24/        the layer's changes, in overlay's form
    layers/HEX24.json    an ImageLayer; written last: a directory without it is unfinished

A layer is made below ``incoming`` and moved here only when it is complete and durable.
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
from engine.errors import DriverError
from engine.failpoints import failpoint
from engine.tar.source import Source

_RECORD: Final = ".json"


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A received layer: its plain tar, and the bytes as they came."""

    diff_id: DiffId
    source: Source
    blob: Digest
    blob_bytes: int
    keep_blob: Callable[[], None]
    """Called once the archive has proved valid."""


class LayerStore:
    """The layers below one data root."""

    def __init__(self, data_root: Path) -> None:
        self._data_root = data_root
        self._root = data_root / "layers"
        self._naming = threading.Lock()

    def find(self, chain: ChainId) -> ImageLayer | None:
        """Return a complete layer, if there is one.

        Raises:
            DriverError: its record can't be read, or belongs to another layer.
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
        """Unpack a layer on top of ``parent``, unless it exists.

        Raises:
            InvalidRequest: the archive is damaged or asks for something impossible; nothing is left
                of it.
            Unavailable: the disk is full; likewise.
            DriverError: the kernel refuses for another reason; likewise.
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
            # one call for thousands of files; fsync(2) on each takes fifteen times as long
            os.sync()
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
        """Create the layer's root with the owner and mode of the root below, in case the archive
        does not list it.
        """
        directory.mkdir(parents=True)
        directory.chmod(0o755)
        if parent is not None:
            below = naming.layer_directory(self._data_root, parent).stat()
            os.chown(directory, below.st_uid, below.st_gid)
            directory.chmod(stat.S_IMODE(below.st_mode))

    def _give_name(self, directory: Path, layer: ImageLayer) -> None:
        final = naming.layer_directory(self._data_root, layer.chain_id)
        # without the lock a thread would delete another's directory as unfinished
        with self._naming:
            if self.find(layer.chain_id) is not None:
                return  # another import was quicker; its layer is the same
            remove_tree(final, self._data_root)  # without a record: a crash left it
            self._root.mkdir(mode=0o711, parents=True, exist_ok=True)
            directory.rename(final)
            failpoint("layer_named")
            replace_file(_record_path(final), msgspec.json.encode(layer), mode=0o600)

    def all(self) -> dict[ChainId, ImageLayer]:
        """Return every complete layer."""
        layers = (_read_record(path) for path in self._root.glob("*" + _RECORD))
        return {layer.chain_id: layer for layer in layers}

    def set_aside(self, chain: ChainId) -> list[Path]:
        """Move a layer to the trash; its record first, so that a layer without its directory is
        never found.
        """
        directory = naming.layer_directory(self._data_root, chain)
        parts = (_record_path(directory), directory)
        trashed = (set_aside(part, self._data_root) for part in parts)
        return [each for each in trashed if each is not None]

    def remove_unfinished(self) -> None:
        """Delete directories without a record, which a crash left. Only while no layer is being
        made.
        """
        for directory in self._directories():
            if not _record_path(directory).exists():
                remove_tree(directory, self._data_root)

    def _directories(self) -> Iterator[Path]:
        if self._root.is_dir():
            yield from (path for path in self._root.iterdir() if path.is_dir())

    def empty_directory(self) -> Path:
        """Return the lower directory of an image without layers: overlay(5) needs at least one."""
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
