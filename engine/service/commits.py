"""Make images of containers.

    PauseRequested(for_commit) ─▶ Paused ─▶ content on the disk ─▶ UnpauseRequested ─▶ image and Committed, in one append

A daemon that dies before the append leaves content that no event names, which is collected, and
perhaps a paused container: the next daemon reads in the log that the pause was for a commit, and
ends it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from engine.container_locks import ContainerLocks
from engine.domain.container.audit_events import Committed
from engine.domain.container.commit import check_committable, committed_config
from engine.domain.container.decisions import decide_pause
from engine.domain.container.events import OrderKind, PauseRequested, UnpauseRequested
from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.domain.event import SUPERVISOR, Origin
from engine.domain.ids import ContainerId, ImageId
from engine.domain.image.config import HistoryEntry, ImageConfig, ImageContents
from engine.domain.image.reference import Reference
from engine.domain.image.state import ImageCommitted, decide_commit
from engine.domain.streams import container_stream, image_stream
from engine.ports.content import Arrived, ImageStore
from engine.ports.files import ContainerFiles
from engine.queries.threads import ask
from engine.queries.waiting import Changes
from engine.service.arrivals import kept
from engine.service.containers.waits import until_done
from engine.store.ledger import Ledger

GO_ON_TIMEOUT_S: Final = 5.0
"""How long the end of the pause is waited for after the client has gone."""
_PAUSES: Final = (PauseRequested.TYPE, UnpauseRequested.TYPE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitOptions:
    """How to make an image of a container."""

    reference: Reference | None = None
    """The image's name, with a tag."""
    config: ImageConfig | None = None
    """Merged over the container's own config; None for nothing."""
    changes: Sequence[str] = ()
    author: str = ""
    comment: str = ""
    pause: bool = True


class Commits:
    """Makes images of containers; commits of one container run one after the other."""

    def __init__(
        self, ledger: Ledger, store: ImageStore, files: ContainerFiles, changes: Changes
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._files = files
        self._changes = changes
        self._locks = ContainerLocks()
        """Without them one commit would let the container go on while another still reads."""

    async def commit(self, word: str, options: CommitOptions, origin: Origin) -> ImageId:
        """Make an image of a container's changes to its own image. The container may be in any
        phase before its removal.

        Raises:
            NoSuchContainer: there is none.
            Conflict: it is being removed.
            InvalidRequest: a change that can't be.
        """
        container = self._ledger.head.container(word)
        check_committable(container)
        config = committed_config(container.spec, options.config, options.changes)
        async with (
            self._locks.hold(container.id),
            self._standing_still(container.id, origin, asked=options.pause),
        ):
            arrived = await self._pack(container, config, options)
        async with kept(self._store, [arrived.contents.id]):
            await self._record(container.id, arrived.contents, options, origin)
        return arrived.contents.id

    async def let_go_on(self) -> None:
        """Unpause containers that a commit paused before the daemon died. Call once, before the
        first request.
        """
        origin = Origin(actor=SUPERVISOR)
        for container in tuple(self._ledger.head.containers.values()):
            if await self._is_left_paused(container):
                await self._request_to_go_on(container.id, origin)

    async def _pack(
        self, container: Container, config: ImageConfig, options: CommitOptions
    ) -> Arrived:
        step = HistoryEntry(
            created_by=" ".join(container.spec.command),
            author=options.author,
            comment=options.comment,
        )
        reading = await self._files.layer(container)
        try:
            async with aclosing(reading.blocks()) as blocks:
                return await self._store.commit(
                    blocks,
                    parent=container.spec.image_id,
                    config=config,
                    step=step,
                    at_ns=self._ledger.clock.wall_ns(),
                )
        finally:
            reading.close()

    async def _record(
        self,
        identity: ContainerId,
        contents: ImageContents,
        options: CommitOptions,
        origin: Origin,
    ) -> None:
        """Record the image, unless the removal of its container has begun: parts of the layer may
        be missing.
        """
        container = self._ledger.head.container(identity)
        check_committable(container)
        made = ImageCommitted(contents=contents, container=identity, parent=container.spec.image_id)
        name = options.reference
        image_changes = decide_commit(self._ledger.head.images, made, str(name) if name else None)
        committed = Committed(
            image=contents.id, comment=options.comment, reference=name.familiar if name else ""
        )
        await self._ledger.record(
            origin,
            *((image_stream(change.image), change.events) for change in image_changes),
            (container_stream(identity), (committed,)),
        )

    @asynccontextmanager
    async def _standing_still(
        self, identity: ContainerId, origin: Origin, *, asked: bool
    ) -> AsyncIterator[None]:
        """Pause a running container meanwhile. A container that does not run, or is paused already,
        stays as it is.
        """
        container = self._ledger.head.container(identity)
        if not asked or container.phase is not Phase.RUNNING:
            yield
            return
        (pause,) = decide_pause(container)
        assert isinstance(pause, PauseRequested)
        pause = PauseRequested(order=pause.order, for_commit=True)
        try:
            await self._ledger.record(origin, (container_stream(identity), (pause,)))
            await until_done(self._changes, identity, (pause.order,))
            yield
        finally:
            with trio.move_on_after(GO_ON_TIMEOUT_S, shield=True):
                if await self._is_left_paused(self._ledger.head.containers.get(identity)):
                    await self._go_on(identity, origin)

    async def _is_left_paused(self, container: Container | None) -> bool:
        """Return whether a container is paused, or about to be, for a commit and for nothing
        else.
        """
        if container is None or not container.is_running:
            return False
        pausing = any(order.kind is OrderKind.PAUSE for order in container.orders)
        if container.phase is not Phase.PAUSED and not pausing:
            return False
        return await ask(partial(self._last_pause_is_for_commit, container.id))

    def _last_pause_is_for_commit(self, identity: ContainerId) -> bool:
        last = None
        stream = container_stream(identity)
        for recorded in self._ledger.log.read(stream=stream, types=_PAUSES, keep_unreadable=True):
            last = recorded.event
        return isinstance(last, PauseRequested) and last.for_commit

    async def _go_on(self, identity: ContainerId, origin: Origin) -> None:
        order = await self._request_to_go_on(identity, origin)
        await until_done(self._changes, identity, (order,))

    async def _request_to_go_on(self, identity: ContainerId, origin: Origin) -> int:
        order = self._ledger.head.container(identity).orders_given + 1
        unpause = UnpauseRequested(order=order)
        await self._ledger.record(origin, (container_stream(identity), (unpause,)), essential=True)
        return order
