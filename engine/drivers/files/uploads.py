"""Receive a tar whole, in an unnamed file, before it is unpacked."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from engine.drivers.lanes import Lane, Lanes
from engine.drivers.storage.deferred_close import DeferredClose
from engine.drivers.storage.spool import CHUNK_BYTES, append, nameless, spool
from engine.tar.compression import MAGIC_BYTES_MAX, Reader, unpacker
from engine.tar.source import Source
from engine.tar.unpack import check_tar


class SpooledTar:
    """An uncompressed tar in an unnamed file, which a killed daemon does not leave behind."""

    def __init__(self, file: BinaryIO) -> None:
        self.source = Source(file.fileno())
        self.opened = DeferredClose(file.close)

    def close(self) -> None:
        """Forget it."""
        self.opened.close()


async def receive_tar(body: AsyncIterator[bytes], data_root: Path, lanes: Lanes) -> SpooledTar:
    """Receive a tar, compressed or not.

    Raises:
        MalformedArchive: it is damaged or truncated.
        Unavailable: the disk is full.
    """
    file = await spool(body, data_root, lanes)
    try:
        return await lanes.run(Lane.SPOOL, partial(_checked, file, data_root))
    except BaseException:
        file.close()
        raise


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
    file = nameless(data_root)
    try:
        while content := reader.read(CHUNK_BYTES):
            append(file, content)
    except BaseException:
        file.close()
        raise
    return file
