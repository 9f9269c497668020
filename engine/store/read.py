"""Read events and aggregates, on connections of their own.

History is read in blocks, each its own short transaction: a reader that is slow or never comes back
must not keep the journal from being folded into the database. The log only grows, so the blocks fit
together whatever is appended between.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from msgspec import MsgspecError
from sqlalchemy import Select, func, select
from sqlalchemy.exc import DBAPIError

from engine.domain.event import SUPERVISOR, Origin
from engine.store import database, schema
from engine.store.chain import Row
from engine.store.codec import Codec, decode_origin
from engine.store.errors import UnknownEvent, explain
from engine.store.records import Aggregate, Recorded, Unreadable, VerifyReport
from engine.store.selection import Selection, positions_between
from engine.store.verify import verify_chain

BLOCK_ROWS: Final = 500
BLOCK_BYTES: Final = 1 << 20
"""Of events' data: a block ends with the event that goes beyond it, however few there are."""

_events = schema.events.c
_DATA: Final = Row._fields.index("data")


class Reader:
    """Reads a log. Every method may be called, and every iterator used, in any thread."""

    def __init__(self, path: Path, codec: Codec) -> None:
        self.path = path
        self.codec = codec
        self._reader = database.reader_engine(path)

    def close(self) -> None:
        """Close the connections."""
        self._reader.dispose()

    def read(
        self,
        after_seq: int = 0,
        *,
        until_seq: int | None = None,
        stream: str | None = None,
        streams: Collection[str] | None = None,
        below: str | None = None,
        types: Collection[str] | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        limit: int | None = None,
        keep_unreadable: bool = False,
    ) -> Iterator[Recorded]:
        """Yield the events that match everything given, in the order of ``seq``.

        ``stream`` is one of ``streams``; ``below`` is a stream and all whose names begin with it
        and a slash. ``until_seq``, ``since_ns`` and ``until_ns`` include the event that is exactly
        there. For the state at a point in time use ``until_seq=seq_at(…)``: a clock that jumped
        back would tear holes into a history cut by ``until_ns``.

        A row that this engine can't read is an :class:`Unreadable` with ``keep_unreadable``, and
        otherwise an error.

        Raises:
            UnknownEvent: a row that this engine can't read.
            StoreCorrupt: the database can't be read there.
        """
        wanted = Selection(
            until_seq=until_seq,
            streams=streams if stream is None else [stream],
            below=below,
            types=types,
            since_ns=since_ns,
            until_ns=until_ns,
        )
        for row, digest in self._stored(wanted, after_seq, limit):
            try:
                recorded = self._recorded(row, digest)
            except (UnknownEvent, MsgspecError, TypeError) as error:
                if not keep_unreadable:
                    raise
                recorded = _unreadable(row, digest, str(error))
            yield recorded

    def _recorded(self, row: Row, digest: bytes) -> Recorded:
        event = self.codec.decode(row.type, row.schema, row.data)
        origin = decode_origin(row.actor, row.cause, row.correlation)
        return Recorded(row.seq, row.stream, row.version, event, row.at_ns, origin, digest)

    def rows(
        self, after_seq: int = 0, *, until_seq: int | None = None, stream: str | None = None
    ) -> Iterator[Row]:
        """Yield events as they are stored, readable or not.

        Raises:
            StoreCorrupt: the database can't be read there.
        """
        streams = None if stream is None else [stream]
        for row, _ in self._stored(Selection(until_seq=until_seq, streams=streams), after_seq):
            yield row

    def _stored(
        self, wanted: Selection, after_seq: int, limit: int | None = None
    ) -> Iterator[tuple[Row, bytes]]:
        if wanted.is_by_time:
            first, last = self._positions(wanted.since_ns, wanted.until_ns)
            after_seq = max(after_seq, first - 1)
            until_seq = last if wanted.until_seq is None else min(last, wanted.until_seq)
            wanted = replace(wanted, until_seq=until_seq)
        left = limit
        while left is None or left > 0:
            block = self._some(wanted.block(after_seq, min(BLOCK_ROWS, left or BLOCK_ROWS)))
            for *fields, digest in block:
                yield Row(*fields), digest
            if not block:
                return
            after_seq = block[-1][0]
            left = None if left is None else left - len(block)

    def _some(self, query: Select[Any]) -> list[Any]:
        """Return the first rows that a query finds, up to the size of a block."""
        block, size_bytes = [], 0
        try:
            with self._reader.connect() as connection:
                for row in connection.execute(query):
                    block.append(row)
                    size_bytes += len(str(row[_DATA]))  # whatever somebody wrote there
                    if size_bytes > BLOCK_BYTES:
                        break
        except DBAPIError as error:
            raise explain(error, self.path) from error
        return block

    def _positions(self, since_ns: int | None, until_ns: int | None) -> tuple[int, int]:
        """Return the first and the last event within some time; (0, 0) when there is none."""
        first, last = self._block(positions_between(since_ns, until_ns))[0]
        return first or 0, last or 0

    def seq_at(self, at_ns: int) -> int:
        """Return the last event that happened no later than a time by the wall clock; 0 before the
        first.
        """
        return self._positions(None, at_ns)[1]

    def seq_after(self, at_ns: int, *, until_seq: int) -> int | None:
        """Return the first event up to ``until_seq`` that happened later than a time by the wall
        clock; None when there is none.
        """
        query = select(func.min(_events.seq)).where(_events.at_ns > at_ns, _events.seq <= until_seq)
        found: int | None = self._block(query)[0][0]
        return found

    def version(
        self, stream: str, *, until_seq: int | None = None, until_ns: int | None = None
    ) -> int:
        """Return the last version of a stream, whether its aggregate still exists or not; 0 when it
        never existed.

        Args:
            stream: which one.
            until_seq: events behind that one are passed over.
            until_ns: those that happened later, too.
        """
        query = select(func.max(_events.version)).where(_events.stream == stream)
        if until_seq is not None:
            query = query.where(_events.seq <= until_seq)
        if until_ns is not None:
            query = query.where(_events.at_ns <= until_ns)
        return self._block(query)[0][0] or 0

    def aggregates(self) -> Iterator[Aggregate]:
        """Yield the stored state of every live aggregate, in the order of streams."""
        table = schema.aggregates
        for stream, version, snapshot in self._block(select(table).order_by(table.c.stream)):
            yield Aggregate(stream, version, snapshot)

    def snapshot(self) -> tuple[int, tuple[Aggregate, ...]]:
        """Return the last event, and the stored states of the same moment."""
        table = schema.aggregates
        try:
            with self._reader.connect() as connection, connection.begin():
                seq = connection.exec_driver_sql(schema.SELECT_HEAD).one()[0]
                rows = connection.execute(select(table).order_by(table.c.stream)).all()
        except DBAPIError as error:
            raise explain(error, self.path) from error
        return seq, tuple(Aggregate(*row) for row in rows)

    def verify_chain(
        self,
        until_seq: int | None = None,
        *,
        follow: Callable[[Row], None] | None = None,
        pause: Callable[[], None] | None = None,
    ) -> VerifyReport:
        """Audit the log: see ``verify.py``. Takes some seconds for a million events.

        Args:
            until_seq: up to this event; None for the last one.
            follow: gets every row.
            pause: called between blocks; what it raises ends the audit.
        """
        return verify_chain(self.path, until_seq, follow=follow, pause=pause)

    def _block(
        self, query: Select[Any]
    ) -> Sequence[Any]:  # Any: a query's columns are typed where they are unpacked
        try:
            with self._reader.connect() as connection:
                return connection.execute(query).all()
        except DBAPIError as error:
            raise explain(error, self.path) from error


def _unreadable(row: Row, digest: bytes, reason: str) -> Recorded:
    origin = Origin(actor=SUPERVISOR)
    event = Unreadable(reason=reason)
    return Recorded(row.seq, row.stream, row.version, event, row.at_ns, origin, digest)
