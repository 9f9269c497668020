"""Keep content that has arrived until the events that name it are recorded."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from engine.domain.ids import ImageId
from engine.errors import EngineError
from engine.ports.content import ImageStore


@asynccontextmanager
async def kept(store: ImageStore, images: Iterable[ImageId]) -> AsyncIterator[None]:
    """Release the content of images on exit, and delete it if no event could be recorded."""
    try:
        try:
            yield
        finally:
            for image in images:
                store.release(image)
    except EngineError:
        with suppress(EngineError):  # the caller must hear why its images were refused
            await store.collect()
        raise
