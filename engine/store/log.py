"""Append events to the log, and read them: the only access to the history.

    trio thread                         writer thread                        disk
    ───────────                         ─────────────                        ────
    append ── encode ─▶ queue ───────▶  takes whatever has queued up
       ┊ shielded                       seq, hash, one transaction ────────▶ fsync of the WAL
       ▼                                                          ◀────────
    answer, subscribers  ◀── run_sync_soon ── outcomes of the group

- Durable: an append returns when its group has been synced (WAL, ``synchronous=FULL``), never
  earlier.
- Ordered: groups are committed, and subscribers called, in the order of submission.
- Whole: the changes of one append are all committed, or none.
- Never abandoned: a cancelled caller still waits for its answer, because an order that is durable
  must not look refused. Only a shutdown whose disk doesn't answer gives up (``abandon``).
- Safe when the disk fails: the group is refused, each caller gets the reason, and the next group
  tries again. Room is reserved for what is ``essential`` (``reserve.py``).

With ``threaded=False`` the submitter commits by itself, without a second thread, so that a
simulation is deterministic.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

import structlog
import trio

from engine.errors import EngineError
from engine.store import database
from engine.store.codec import Codec
from engine.store.commit import Batch, Committer, Outcome
from engine.store.errors import StoreUnavailable
from engine.store.read import Reader
from engine.store.records import Change, Recorded, Subscriber
from engine.store.released import RELEASED
from engine.store.reserve import Reserve

GROUP_MAX: Final = 512
"""Appends in one transaction: beyond this a bigger group wins nothing, and its first caller waits
for the last."""

UNAWAITED_S: Final = 0.05
"""How long an append that nobody awaits may wait for one that somebody does: a client attaches
just before it asks for the start."""

QUEUE_MAX: Final = 16 * 1024
"""Appends that may wait: some seconds' worth. Further ones are refused."""

CLOSE_TIMEOUT_S: Final = 5.0
"""How long :meth:`EventLog.close` waits for the writer: a thread that hangs in the kernel can't be
ended."""

log = structlog.get_logger()


class Pending:
    """An append in the queue, which will have an outcome."""

    __slots__ = ("_answered", "_on_refusal", "_outcome", "batch", "is_awaited", "token")

    def __init__(
        self, batch: Batch, token: trio.lowlevel.TrioToken | None, *, is_awaited: bool = True
    ) -> None:
        self.batch = batch
        self.token = token
        self.is_awaited = is_awaited
        self._answered = trio.Event()
        self._outcome: Outcome = ()
        self._on_refusal: Callable[[EngineError], None] | None = None

    def answer(self, outcome: Outcome) -> None:
        """Set the outcome, and wake who waits for it. In the trio thread."""
        self._outcome = outcome
        self._answered.set()
        if self._on_refusal is not None:
            self.if_refused(self._on_refusal)

    def if_refused(self, then: Callable[[EngineError], None]) -> None:
        """Call ``then`` if the append is refused, for a caller that doesn't wait. In the trio
        thread.
        """
        self._on_refusal = then
        if self._answered.is_set() and isinstance(self._outcome, EngineError):
            then(self._outcome)

    async def wait(self) -> tuple[Recorded, ...]:
        """Return the events as recorded, once they are durable. Is not interrupted by cancellation.

        Raises:
            VersionConflict: a stream was not at the version expected; nothing of this append is
                written.
            StoreUnavailable: nor could anything else be; try again when the cause is gone.
        """
        with trio.CancelScope(shield=True):
            await self._answered.wait()
        if isinstance(self._outcome, EngineError):
            raise self._outcome
        return self._outcome


class EventLog(Reader):
    """Stores the history, and the present state of every aggregate."""

    def __init__(self, path: Path, codec: Codec, *, threaded: bool) -> None:
        super().__init__(path, codec)
        self._writer = database.writer_engine(path)
        self._committer = Committer(
            self._writer, path, Reserve(path.with_name(path.name + ".reserve"))
        )
        self._subscribers: list[Subscriber] = []
        self._queue: SimpleQueue[Pending | None] = SimpleQueue()
        self._unanswered: set[Pending] = set()
        self._is_abandoned = False
        self._busy_since_s: float | None = None
        """When the writer took the group that it is committing, CLOCK_MONOTONIC."""
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._write, name="event-log", daemon=True)
            self._thread.start()

    @classmethod
    def open(cls, path: Path, *, codec: Codec = RELEASED, threaded: bool = True) -> "EventLog":
        """Open or create the database; an old schema is copied and then brought up to date.

        Raises:
            StoreCorrupt: it is not sound, not ours, or of a newer engine; it is left as it is.
            StoreUnavailable: it can't be read or written now.
        """
        database.prepare(path)
        return cls(path, codec, threaded=threaded)

    @property
    def last_seq(self) -> int:
        """Return the position of the newest durable event; 0 when there is none."""
        return self._committer.seq

    async def append(
        self, changes: Sequence[Change], *, essential: bool = False
    ) -> tuple[Recorded, ...]:
        """Make all the changes durable, or none. See :meth:`Pending.wait` for the errors."""
        return await self.submit(changes, essential=essential).wait()

    def submit(
        self, changes: Sequence[Change], *, essential: bool = False, is_awaited: bool = True
    ) -> Pending:
        """Put an append into the queue without yielding, in the trio thread.

        One that nobody awaits is committed with the next that somebody does, or soon.

        Raises:
            StoreUnavailable: too many wait already, or the log has been abandoned.
        """
        if self._is_abandoned:
            raise self._hanging()
        batch = Batch.of(changes, self.codec, essential=essential)
        if self._thread is None:
            pending = Pending(batch, None, is_awaited=is_awaited)
            self._deliver([pending], self._committer.commit([batch]))
            return pending
        if self._queue.qsize() >= QUEUE_MAX:
            raise StoreUnavailable("event log: too many orders are waiting for the disk")
        token = trio.lowlevel.current_trio_token()
        pending = Pending(batch, token, is_awaited=is_awaited)
        self._unanswered.add(pending)
        self._queue.put(pending)
        return pending

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call ``subscriber`` with every group from now on.

        Returns:
            What ends the subscription.
        """
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def is_hanging(self, for_s: float) -> bool:
        """Return whether the writer has been committing one group for at least so long."""
        since_s = self._busy_since_s
        return since_s is not None and time.monotonic() - since_s >= for_s

    def abandon(self) -> None:
        """Refuse all appends that wait and all that come: for a shutdown whose disk doesn't answer.

        In the trio thread. The next start finds out what became durable.
        """
        self._is_abandoned = True
        while self._unanswered:
            self._unanswered.pop().answer(self._hanging())

    def _hanging(self) -> StoreUnavailable:
        return StoreUnavailable(f"event log {self.path}: the disk does not answer")

    def close(self) -> None:
        """Commit what is still queued, and close the database, but wait no longer than
        ``CLOSE_TIMEOUT_S``.

        The readers are closed last: SQLite then leaves the WAL and its index on the disk, which a
        start on a full disk could not make again.
        """
        if self._thread is None:
            self._close_writer()
        else:
            self._queue.put(None)
            self._thread.join(CLOSE_TIMEOUT_S)
            if self._thread.is_alive():
                log.error("event_log_not_closed", path=str(self.path), waited_s=CLOSE_TIMEOUT_S)
        super().close()

    def _close_writer(self) -> None:
        self._committer.close()
        self._writer.dispose()

    def _write(self) -> None:
        """Commit groups until the log is closed. Runs on the writer thread."""
        ended = False
        while not ended and (first := self._queue.get()) is not None:
            group, ended = self._rest_of_group(first)
            self._busy_since_s = time.monotonic()
            outcomes = self._outcomes([pending.batch for pending in group])
            self._busy_since_s = None
            assert first.token is not None
            with contextlib.suppress(trio.RunFinishedError):  # then nobody waits any more
                first.token.run_sync_soon(self._deliver, group, outcomes)
        self._close_writer()

    def _outcomes(self, batches: list[Batch]) -> Sequence[Outcome]:
        """Return one outcome for each batch, whatever happens: the thread must live, and nobody may
        wait for ever.
        """
        try:
            outcomes = self._committer.commit(batches)
            assert len(outcomes) == len(batches)
        except Exception as error:  # a root
            words = f"event log {self.path}: the writer failed ({error!r})"
            return [StoreUnavailable(words) for _ in batches]
        return outcomes

    def _rest_of_group(self, first: Pending) -> tuple[list[Pending], bool]:
        group, is_awaited = [first], first.is_awaited
        deadline = time.monotonic() + UNAWAITED_S
        with contextlib.suppress(Empty):
            while len(group) < GROUP_MAX:
                wait_s = 0.0 if is_awaited else deadline - time.monotonic()
                pending = self._queue.get(block=wait_s > 0, timeout=max(wait_s, 0.0))
                if pending is None:
                    return group, True
                group.append(pending)
                is_awaited = is_awaited or pending.is_awaited
        return group, False

    def _deliver(self, group: Sequence[Pending], outcomes: Sequence[Outcome]) -> None:
        if self._is_abandoned:  # the callers have been refused
            return
        self._unanswered.difference_update(group)
        recorded: list[Recorded] = []
        for pending, outcome in zip(group, outcomes, strict=True):
            pending.answer(outcome)
            if not isinstance(outcome, EngineError):
                recorded.extend(outcome)
        if recorded:
            for subscriber in tuple(self._subscribers):
                subscriber(tuple(recorded))
