"""Store a request's body in a file until it has arrived whole.

A client may send slowly, or stop. Meanwhile its upload holds a file and no thread: a thread is used
for each block only. The file has no name, so that it is deleted with its descriptor, or with the
daemon.
"""

import os
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, cast

from engine.drivers.lanes import Lane, Lanes
from engine.drivers.storage.files import disk_error
from engine.drivers.storage.trees import incoming_directory
from engine.errors import Unavailable
from engine.filesystem.writing import write_all

CHUNK_BYTES: Final = 1 << 20
KEPT_FREE_BYTES_MAX: Final = 64 << 20
"""How much of the disk an upload leaves free, or a twentieth of it if that is less: the event log
needs room.
"""


async def spool(body: AsyncIterator[bytes], data_root: Path, lanes: Lanes) -> BinaryIO:
    """Write a body into a file; the caller reads it from the start, and closes it.

    Raises:
        Unavailable: the disk is full; nothing is left of the file.
    """
    file = await lanes.run(Lane.SPOOL, partial(nameless, data_root))
    try:
        async for chunk in _in_chunks(body):
            await lanes.run(Lane.SPOOL, partial(append, file, chunk))
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


async def _in_chunks(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Gather small parts into chunks, because each write takes a thread hop."""
    waiting: list[bytes] = []
    size = 0
    async for part in body:
        waiting.append(part)
        size += len(part)
        if size >= CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


def nameless(data_root: Path) -> BinaryIO:
    """Open a file without a name on the disk of the data root.

    Raises:
        Unavailable: the disk is full.
        DriverError: the kernel refuses for another reason.
    """
    incoming = incoming_directory(data_root)
    try:
        incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cast("BinaryIO", tempfile.TemporaryFile(dir=incoming, buffering=0))
    except OSError as error:
        raise disk_error(f"write below {incoming}", error) from error


def append(file: BinaryIO, content: bytes) -> None:
    """Append to a file.

    Raises:
        Unavailable: the disk is full, or nearly.
        DriverError: the kernel refuses for another reason.
    """
    try:
        _check_room(file.fileno(), len(content))
        write_all(file.fileno(), content)
    except OSError as error:
        raise disk_error("keep an upload", error) from error


def _check_room(fd: int, size_bytes: int) -> None:
    disk = os.fstatvfs(fd)
    kept_bytes = min(KEPT_FREE_BYTES_MAX, disk.f_blocks * disk.f_frsize // 20)
    if disk.f_bavail * disk.f_frsize - size_bytes < kept_bytes:
        raise Unavailable(
            f"keep an upload: no space left on device (its last {kept_bytes >> 20} MiB are kept free)"
        )
