"""Store blobs by digest: write, sync, rename (OCI image-layout)."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from engine.domain import naming
from engine.domain.ids import Digest
from engine.drivers.storage.files import disk_error, sync_directory
from engine.drivers.storage.trees import incoming_directory, set_aside
from engine.errors import DriverError
from engine.failpoints import failpoint
from engine.filesystem.writing import write_all
from engine.tar.compression import Reader

CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Arrival:
    """Received bytes that are not a blob yet."""

    fd: int
    path: Path
    digest: Digest
    size_bytes: int


class BlobStore:
    """The blobs below one data root."""

    def __init__(self, data_root: Path) -> None:
        self._data_root = data_root

    @contextmanager
    def receive(self, reader: Reader) -> Iterator[Arrival]:
        """Receive and hash bytes. They are deleted at the end unless :meth:`keep` has made them a
        blob.

        Raises:
            Unavailable: the disk is full. Errors of ``reader`` pass through.
        """
        incoming = incoming_directory(self._data_root)
        path = incoming / secrets.token_hex(8)
        try:
            incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise disk_error(f"write {path}", error) from error
        try:
            digest, size_bytes = _copy(reader, fd, path)
            yield Arrival(fd, path, digest, size_bytes)
        finally:
            os.close(fd)
            path.unlink(missing_ok=True)

    def keep(self, arrival: Arrival) -> None:
        """Make received bytes a blob. It may be one already.

        Raises:
            Unavailable: the disk is full.
            DriverError: the kernel refuses for another reason.
        """
        path = naming.blob_path(self._data_root, arrival.digest)
        if path.exists():
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.fsync(arrival.fd)
            failpoint("blob_synced")
            arrival.path.rename(path)
            sync_directory(path.parent)
        except OSError as error:
            raise disk_error(f"keep blob {arrival.digest}", error) from error

    def read(self, digest: Digest) -> bytes:
        """Read a small blob, and check its digest.

        Raises:
            DriverError: it is missing or damaged.
        """
        try:
            content = naming.blob_path(self._data_root, digest).read_bytes()
        except OSError as error:
            raise DriverError(f"read blob {digest}: {error.strerror}") from error
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise DriverError(f"read blob {digest}: it is damaged")
        return content

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob of any size for reading.

        Raises:
            DriverError: it is missing.
        """
        try:
            return naming.blob_path(self._data_root, digest).open("rb")
        except OSError as error:
            raise DriverError(f"read blob {digest}: {error.strerror}") from error

    def set_aside(self, digest: Digest) -> Path | None:
        """Move a blob to the trash."""
        return set_aside(naming.blob_path(self._data_root, digest), self._data_root)

    def sizes(self) -> dict[Digest, int]:
        """Return every blob with its size in bytes."""
        directory = naming.blob_path(self._data_root, Digest("sha256:x")).parent
        if not directory.exists():
            return {}
        return {Digest(f"sha256:{blob.name}"): blob.stat().st_size for blob in directory.iterdir()}


def _copy(reader: Reader, fd: int, path: Path) -> tuple[Digest, int]:
    digest = hashlib.sha256()
    size_bytes = 0
    while chunk := reader.read(CHUNK_BYTES):
        digest.update(chunk)
        size_bytes += len(chunk)
        try:
            write_all(fd, chunk)
        except OSError as error:
            raise disk_error(f"write {path}", error) from error
    return Digest(f"sha256:{digest.hexdigest()}"), size_bytes
