"""Read tars and bodies."""

import io
import tarfile
from collections.abc import AsyncGenerator, AsyncIterator

import trio

from engine.errors import InvalidRequest

_BLOCK_BYTES = 512


def members_of(data: bytes) -> dict[str, bytes]:
    """The contents of a tar's files by name.

    Raises:
        InvalidRequest: it is no tar.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            files = {each.name: archive.extractfile(each) for each in archive if each.isfile()}
            return {name: file.read() for name, file in files.items() if file is not None}
    except tarfile.TarError as damaged:
        raise InvalidRequest("invalid tar archive: unexpected EOF") from damaged


async def all_of(body: AsyncIterator[bytes]) -> bytes:
    """Return all bytes of a body."""
    return b"".join([chunk async for chunk in body])


async def blocks_of(data: bytes) -> AsyncGenerator[bytes, None]:
    """Bytes in blocks."""
    for start in range(0, len(data), _BLOCK_BYTES):
        await trio.lowlevel.checkpoint()
        yield data[start : start + _BLOCK_BYTES]
