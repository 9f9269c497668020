"""Send an archive to a client."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, Protocol

from engine.api.http.replies import Headers, Sink, Streamed

TAR: Final = "application/x-tar"
OCTETS: Final = "application/octet-stream"


class Archive(Protocol):
    """An archive that is made while it is read."""

    def blocks(self) -> AsyncGenerator[bytes, None]:
        """Yield the archive, once."""
        ...

    def close(self) -> None:
        """Release what the archive is made from."""
        ...


def streamed(archive: Archive, media_type: str, headers: Headers = ()) -> Streamed:
    """Return an archive as a response, which closes it in any case."""

    async def produce(send: Sink) -> None:
        async with aclosing(archive.blocks()) as blocks:
            async for block in blocks:
                await send(block)

    return Streamed(produce, media_type, headers=headers, release=archive.close)
