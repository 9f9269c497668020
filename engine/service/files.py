"""Copy, export, compare and measure files of containers; each copy is in the log."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Final, TypeVar

import trio

from engine.domain.container.audit_events import Exported, PathRead, PathWritten
from engine.domain.container.phases import NAMELESS, Phase
from engine.domain.container.state import Container
from engine.domain.event import Event, Origin
from engine.domain.ids import ContainerId
from engine.domain.streams import container_stream
from engine.errors import Conflict, NotFound, Unavailable
from engine.ports.files import (
    ContainerFiles,
    NoSuchPath,
    PathChange,
    PathStat,
    ProcessGone,
    Reading,
    UnpackOptions,
)
from engine.queries.waiting import Changes
from engine.service.containers.waits import until_ready
from engine.store.ledger import Ledger

GONE_TIMEOUT_S: Final = 10.0
"""How long it may take until the end of a process is in the log."""

T = TypeVar("T")


class Files:
    """Reads and writes containers' files. References are names, IDs, or unique beginnings of
    IDs.
    """

    def __init__(self, ledger: Ledger, files: ContainerFiles, changes: Changes) -> None:
        self._ledger = ledger
        self._files = files
        self._changes = changes

    async def stat(self, reference: str, path: str) -> PathStat:
        """Return what stands at a path.

        Raises:
            NoSuchContainer, NotFound, InvalidRequest.
        """

        async def look(container: Container) -> PathStat:
            return await self._files.stat(container, path)

        return await self._of(reference, path, look)

    async def read(self, reference: str, path: str, origin: Origin) -> Reading:
        """Return a tar of a file, or of a directory and all below it. The caller closes it.

        Raises:
            NoSuchContainer, NotFound, InvalidRequest.
        """

        async def read(container: Container) -> Reading:
            reading = await self._files.read(container, path)
            return await self._recorded(reading, container, PathRead(path=path), origin)

        return await self._of(reference, path, read)

    async def export(self, reference: str, origin: Origin) -> Reading:
        """Return a tar of the root file system. The caller closes it.

        Raises:
            NoSuchContainer; Conflict when it is being removed.
        """

        async def export(container: Container) -> Reading:
            reading = await self._files.export(container)
            return await self._recorded(reading, container, Exported(), origin)

        _check_exportable(self._ledger.head.container(reference))
        return await self._of(reference, "/", export)

    async def write(
        self,
        reference: str,
        path: str,
        body: AsyncIterator[bytes],
        origin: Origin,
        options: UnpackOptions,
    ) -> None:
        """Unpack a tar, compressed or not, in a directory.

        Raises:
            NoSuchContainer, NotFound, InvalidRequest, Forbidden.
        """

        async def check(container: Container) -> None:
            await self._files.check_destination(container, path)

        await self._of(reference, path, check)  # before the client has sent all of it for nothing
        upload = await self._files.receive(body)

        async def unpack(container: Container) -> None:
            check = partial(self._check_unchanged, container)
            async with self._files.destination(container, path, check) as destination:
                await self._record(container, PathWritten(path=path), origin)
                await destination.unpack(upload, options)

        try:
            await self._of(reference, path, unpack)
        finally:
            upload.close()

    async def changes(self, reference: str) -> tuple[PathChange, ...]:
        """Return how a container's files differ from its image's.

        Raises:
            NoSuchContainer.
        """
        return await self._files.changes(self._ledger.durable.container(reference))

    async def sizes_bytes(self, containers: Iterable[Container]) -> dict[ContainerId, int]:
        """Measure what each container has written into its own layer. All of it is read, so call
        this only if a client asks for it.
        """
        return {each.id: await self._files.size_bytes(each.id) for each in containers}

    async def _of(self, reference: str, path: str, act: Callable[[Container], Awaitable[T]]) -> T:
        """Do something with a container's files as it is now; if it ends meanwhile, do it again
        with what it is then.
        """
        while True:
            container = await self._settled(reference)
            try:
                return await act(container)
            except ProcessGone:
                await self._noticed(container)
            except NoSuchPath as missing:
                raise NotFound(
                    f"Could not find the file {path} in container {reference}"
                ) from missing

    async def _settled(self, reference: str) -> Container:
        """Return a container that either runs or does not: wait for a start that is under way."""
        container = await until_ready(
            self._changes,
            self._ledger.head,
            reference,
            lambda container: container.phase is not Phase.STARTING,
        )
        if container.phase in NAMELESS:
            raise Conflict(f"container {container.id} is marked for removal")
        return container

    def _check_unchanged(self, container: Container) -> None:
        """Refuse to go on with a container that was started, or has ended, since it was looked
        up.
        """
        now = self._ledger.head.container(container.id)
        if (now.run, now.process) != (container.run, container.process):
            raise ProcessGone("the container is not what it was a moment ago")

    async def _noticed(self, container: Container) -> None:
        """Wait until the log says that a container is no longer what it was."""
        was = (container.run, container.process)
        with trio.move_on_after(GONE_TIMEOUT_S) as waited:
            await self._changes.until(
                container.id,
                lambda state: state is None or (state.run, state.process) != was,
            )
            return
        if waited.cancelled_caught:
            raise Unavailable(f"container {container.id} has ended and nobody knows how, yet")

    async def _recorded(
        self, reading: Reading, container: Container, event: Event, origin: Origin
    ) -> Reading:
        """Record a read before its first byte is sent."""
        try:
            await self._record(container, event, origin)
        except BaseException:
            reading.close()
            raise
        return reading

    async def _record(self, container: Container, event: Event, origin: Origin) -> None:
        self._ledger.head.container(container.id)  # it may be gone by now, and have no history
        await self._ledger.record(origin, (container_stream(container.id), (event,)))


def _check_exportable(container: Container) -> None:
    if container.phase is Phase.DEAD:
        raise Conflict(f"You cannot export container {container.id} which is Dead")
    if container.phase in NAMELESS:
        raise Conflict(f"You cannot export container {container.id} which is being removed")
