"""Commit groups of changes, each group in one transaction.

For every group: give each event its ``seq`` and hash, insert the events, write the new state of the
aggregates, move the head; then wait for the disk. Whatever goes wrong, the group is rolled back
whole and what is remembered here is read again. A change that comes too late (its stream has moved
on) is left out of the group and hurts nobody else. The stream's version is compared, not only made
unique, so that a change computed from one that failed fails too, and no version is ever missing.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from engine.errors import EngineError
from engine.store import schema
from engine.store.chain import Row, next_hash
from engine.store.codec import Codec, encode_actor
from engine.store.errors import StoreCorrupt, StoreFull, StoreUnavailable, VersionConflict, explain
from engine.store.records import Change, Recorded
from engine.store.reserve import Reserve

Outcome = tuple[Recorded, ...] | EngineError

_SLICES_MAX: Final = 8
"""Slices of the reserve that one group may use up before it is refused because the disk is full."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one caller wants committed or refused as a whole. ``encoded`` has the columns that the
    codec made of each event.
    """

    changes: tuple[Change, ...]
    encoded: tuple[tuple[str, int, str], ...]
    essential: bool = False

    @classmethod
    def of(cls, changes: Sequence[Change], codec: Codec, *, essential: bool) -> "Batch":
        """Encode the changes in the caller's task, so that a bad event has the traceback of its
        maker.
        """
        assert changes, "nothing to append"
        assert all(change.events for change in changes), "a change without events changes nothing"
        encoded = tuple(codec.encode(event) for change in changes for event in change.events)
        return cls(tuple(changes), encoded, essential)


@dataclass(slots=True)
class _Group:
    """A transaction in preparation: the end of the chain, and the rows that lead to it."""

    seq: int
    hash: bytes
    versions: dict[str, int] = field(default_factory=dict)
    rows: list[tuple[object, ...]] = field(default_factory=list)
    states: dict[str, tuple[int, bytes] | None] = field(default_factory=dict)
    """By stream: version and state for the table of aggregates; None: the row goes."""

    def add(self, batch: Batch) -> tuple[Recorded, ...]:
        """Append the batch's events to the chain."""
        encoded = iter(batch.encoded)
        recorded = tuple(
            self._add_event(change, index, next(encoded))
            for change in batch.changes
            for index in range(len(change.events))
        )
        for change in batch.changes:
            self._set_state(change)
        return recorded

    def gone(self) -> list[str]:
        """Return the streams that have left the live state."""
        return [stream for stream, state in self.states.items() if state is None]

    def _set_state(self, change: Change) -> None:
        kept = change.snapshot
        self.states[change.stream] = None if kept is None else (change.last_version, kept)
        self.states.update(dict.fromkeys(change.also_gone))

    def _add_event(self, change: Change, index: int, encoded: tuple[str, int, str]) -> Recorded:
        origin, version = change.origin, change.version + index
        row = Row(
            self.seq + 1,
            change.stream,
            version,
            *encoded,
            change.at_ns,
            encode_actor(origin.actor),
            origin.cause,
            origin.correlation,
        )
        self.seq, self.hash = row.seq, next_hash(self.hash, row)
        self.rows.append((*row, self.hash))
        self.versions[change.stream] = version
        event = change.events[index]
        return Recorded(row.seq, change.stream, version, event, change.at_ns, origin, self.hash)


class Committer:
    """Writes the database, as its only writer. Used by one thread at a time."""

    def __init__(self, engine: Engine, path: Path, reserve: Reserve) -> None:
        self._engine = engine
        self._path = path
        self._reserve = reserve
        self._file = _identity(path)
        self._connection = engine.connect()
        self._versions: dict[str, int] = {}
        self._stale = False
        with self._connection.begin():
            self._seq, self._hash = self._read_head()

    @property
    def seq(self) -> int:
        """Return the position of the last durable event."""
        return self._seq

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Make the batches durable, in this order. Does not raise: every caller gets an answer.

        Returns:
            For each batch its events as recorded, or why none of them is.
        """
        try:
            return self._commit(batches)
        except Exception as error:  # a root: whatever this is, nobody must wait for ever
            self._stale = True
            return [self._failed(error) for _ in batches]

    def _commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        if self._reserve.spent and not self._reserve.refill():
            return self._only_essential(batches)
        outcomes = self._try(batches)
        if _any_full(outcomes):
            return self._only_essential(batches)
        return outcomes

    def _failed(self, error: Exception) -> StoreUnavailable:
        failed = StoreUnavailable(
            f"event log {self._path}: nothing can be written now ({error!r}); the next append tries again"
        )
        failed.__cause__ = error
        return failed

    def _only_essential(self, batches: Sequence[Batch]) -> list[Outcome]:
        essential = [batch for batch in batches if batch.essential]
        outcomes = self._try(essential)
        for make_room in (self._fold_journal, *(self._spend_slice,) * _SLICES_MAX):
            if not _any_full(outcomes):
                break
            if make_room():
                outcomes = self._try(essential)
        answers = iter(outcomes)
        return [next(answers) if batch.essential else self._full() for batch in batches]

    def _fold_journal(self) -> bool:
        """Write the journal's pages into the database, so that the journal is overwritten from its
        beginning.

        The journal keeps its size: another program would take the room given back to a full disk.
        """
        connection = self._connection.connection.driver_connection
        assert isinstance(connection, sqlite3.Connection)
        try:
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        except sqlite3.Error:  # the database itself would have to grow
            return False
        return not busy

    def _spend_slice(self) -> bool:
        if not self._reserve.spend():
            return False
        self._fold_journal()
        return True

    def _full(self) -> StoreFull:
        return StoreFull(f"event log {self._path}: the disk is full")

    def _try(self, batches: Sequence[Batch]) -> list[Outcome]:
        if not batches:
            return []
        try:
            return self._transact(batches)
        except Exception as error:  # a root: the callers get it, the writer lives on
            self._stale = True
            problems: list[Outcome] = [explain(error, self._path) for _ in batches]
        of_the_store = isinstance(problems[0], (StoreUnavailable, StoreCorrupt))
        if of_the_store or len(batches) == 1:
            return problems
        return [self._try([batch])[0] for batch in batches]

    def _transact(self, batches: Sequence[Batch]) -> list[Outcome]:
        self._refuse_another_file()
        if self._stale:
            self._reconnect()
        with self._connection.begin():
            if self._stale:
                self._versions.clear()
                self._seq, self._hash = self._read_head()
            group = _Group(self._seq, self._hash)
            outcomes: list[Outcome] = [
                self._conflict(group, batch) or group.add(batch) for batch in batches
            ]
            if group.rows:
                self._write(group)
        self._seq, self._hash, self._stale = group.seq, group.hash, False
        self._remember(group)
        return outcomes

    def _conflict(self, group: _Group, batch: Batch) -> VersionConflict | None:
        expected: dict[str, int] = {}
        for change in batch.changes:
            stream = change.stream
            known = expected.get(stream, group.versions.get(stream, self._versions.get(stream)))
            current = self._read_version(stream) if known is None else known
            if change.version != current + 1:
                return VersionConflict(
                    f"{stream} is at version {current}; the change was made for {change.version - 1}"
                )
            expected[stream] = change.last_version
        return None

    def _write(self, group: _Group) -> None:
        execute = self._connection.exec_driver_sql
        execute(schema.INSERT_EVENT, group.rows)
        kept = [(stream, *state) for stream, state in group.states.items() if state is not None]
        gone = [(stream,) for stream in group.gone()]
        if kept:
            execute(schema.UPSERT_AGGREGATE, kept)
        if gone:
            execute(schema.DELETE_AGGREGATE, gone)
        moved = execute(schema.MOVE_HEAD, (group.seq, group.hash, self._seq))
        if moved.rowcount != 1:
            raise StoreUnavailable(f"event log {self._path}: another process is writing it")

    def _remember(self, group: _Group) -> None:
        self._versions.update(group.versions)
        for stream in group.gone():  # not likely to come back
            self._versions.pop(stream, None)

    def _reconnect(self) -> None:
        """Take another connection if the last failure has left a transaction open."""
        if self._connection.in_transaction() or self._connection.invalidated:
            self._connection.invalidate()
            self._connection.close()
            self._connection = self._engine.connect()
            return
        raw = self._connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        if raw.in_transaction:
            raw.rollback()

    def _read_head(self) -> tuple[int, bytes]:
        seq, digest = self._connection.exec_driver_sql(schema.SELECT_HEAD).one()
        return seq, digest

    def _read_version(self, stream: str) -> int:
        found = self._connection.exec_driver_sql(schema.SELECT_VERSION, (stream,)).scalar_one()
        return found or 0

    def _refuse_another_file(self) -> None:
        """Raise if the database file was deleted or moved: SQLite would go on writing to it."""
        if _identity(self._path) != self._file:
            raise StoreUnavailable(
                f"event log {self._path}: the database has been moved or replaced"
            )


def _any_full(outcomes: Sequence[Outcome]) -> bool:
    return any(isinstance(outcome, StoreFull) for outcome in outcomes)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
