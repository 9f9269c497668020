"""A tar that a client sends for a container: on the disk, without a name, until it has arrived whole."""

import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, cast

from engine.drivers.filesystems.container_unpack import check_tar
from engine.drivers.filesystems.files import disk_error, write_all
from engine.drivers.filesystems.tar_source import Source
from engine.drivers.filesystems.trees import incoming_directory
from engine.drivers.images.compression import MAGIC_BYTES_MAX, Reader, unpacker
from engine.drivers.lanes import Lane, Lanes

_CHUNK_BYTES: Final = 1 << 20


class SpooledTar:
    """A plain tar in a file that ends with its descriptor, so that a daemon which is killed leaves nothing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.source = Source(file.fileno())

    def close(self) -> None:
        """Forget it."""
        self._file.close()


async def receive_tar(body: AsyncIterator[bytes], data_root: Path, lanes: Lanes) -> SpooledTar:
    """Take a tar in, compressed or not.

    Raises:
        MalformedArchive: it is damaged or torn.
        Unavailable: the disk is full.
    """
    file = await lanes.run(Lane.SPOOL, partial(_nameless, data_root))
    try:
        async for chunk in _in_chunks(body):
            await lanes.run(Lane.SPOOL, partial(_write, file, chunk))
        return await lanes.run(Lane.SPOOL, partial(_checked, file, data_root))
    except BaseException:
        file.close()
        raise


async def _in_chunks(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Each visit to a thread should be worth it."""
    waiting: list[bytes] = []
    size = 0
    async for part in body:
        waiting.append(part)
        size += len(part)
        if size >= _CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


def _nameless(data_root: Path) -> BinaryIO:
    incoming = incoming_directory(data_root)
    try:
        incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cast("BinaryIO", tempfile.TemporaryFile(dir=incoming, buffering=0))
    except OSError as error:
        raise disk_error(f"write below {incoming}", error) from error


def _write(file: BinaryIO, content: bytes) -> None:
    try:
        write_all(file.fileno(), content)
    except OSError as error:
        raise disk_error("keep an upload", error) from error


def _checked(file: BinaryIO, data_root: Path) -> SpooledTar:
    opened = unpacker(Source(file.fileno()).read(0, MAGIC_BYTES_MAX))
    if opened is not None:
        file.seek(0)
        with file as packed:
            file = _plain(opened(packed), data_root)
    spooled = SpooledTar(file)
    try:
        check_tar(spooled.source)
    except BaseException:
        spooled.close()
        raise
    return spooled


def _plain(reader: Reader, data_root: Path) -> BinaryIO:
    file = _nameless(data_root)
    try:
        while content := reader.read(_CHUNK_BYTES):
            _write(file, content)
    except BaseException:
        file.close()
        raise
    return file
