"""Reading the history and the aggregates, on connections of their own.

History is read in blocks, each its own short transaction: a reader that is slow or never comes back must not keep the
journal from being folded into the database. The log only grows, so the blocks fit together whatever is appended between.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.exc import DBAPIError

from engine.store import database, schema
from engine.store.codec import Codec, decode_origin
from engine.store.errors import explain
from engine.store.records import Aggregate, Recorded, VerifyReport
from engine.store.verify import verify_chain

BLOCK_ROWS: Final = 2000

_events = schema.events.c


class Reader:
    """What can be read of a log. Every method may be called, and every iterator used, in any thread."""

    def __init__(self, path: Path, codec: Codec) -> None:
        self.path = path
        self._decode = codec.decode
        self._reader = database.reader_engine(path)

    def close(self) -> None:
        """Let the connections go."""
        self._reader.dispose()

    def read(
        self,
        after_seq: int = 0,
        *,
        until_seq: int | None = None,
        stream: str | None = None,
        below: str | None = None,
        types: Collection[str] | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        limit: int | None = None,
    ) -> Iterator[Recorded]:
        """Events in the order of ``seq``, those that match everything given.

        ``below`` is a stream and all whose names begin with it and a slash. ``until_seq``, ``since_ns`` and ``until_ns`` include the event that is exactly there. For the state at a point in time
        use ``until_seq=seq_at(…)``: a clock that jumped back would tear holes into a history cut by ``until_ns``.

        Raises:
            UnknownEvent: a row that this engine can't read.
            StoreCorrupt: the database can't be read there.
        """
        wanted = _matching(until_seq, stream, types, since_ns, until_ns)
        if below is not None:
            wanted = wanted.where(_is_below(below))
        left = limit
        while left is None or left > 0:
            size = BLOCK_ROWS if left is None else min(BLOCK_ROWS, left)
            block = self._block(wanted.where(_events.seq > after_seq).limit(size))
            for (
                seq,
                of,
                version,
                name,
                number,
                text,
                at_ns,
                actor,
                cause,
                correlation,
                digest,
            ) in block:
                event = self._decode(name, number, text)
                origin = decode_origin(actor, cause, correlation)
                yield Recorded(seq, of, version, event, at_ns, origin, digest)
            if len(block) < size:
                return
            after_seq = block[-1][0]
            left = None if left is None else left - size

    def seq_at(self, at_ns: int) -> int:
        """The last event that the log had at a time by the wall clock; 0 before the first."""
        query = (
            select(_events.seq).where(_events.at_ns <= at_ns).order_by(_events.seq.desc()).limit(1)
        )
        found = self._block(query)
        return int(found[0][0]) if found else 0

    def version(self, stream: str) -> int:
        """The last version of a stream, whether its aggregate still exists or not; 0 when it never did."""
        query = select(func.max(_events.version)).where(_events.stream == stream)
        return self._block(query)[0][0] or 0

    def aggregates(self) -> Iterator[Aggregate]:
        """The present state of everything that exists, in the order of streams."""
        table = schema.aggregates
        for stream, version, snapshot in self._block(select(table).order_by(table.c.stream)):
            yield Aggregate(stream, version, snapshot)

    def verify_chain(self) -> VerifyReport:
        """Audit the whole log: see ``verify.py``. Takes some seconds for a million events."""
        return verify_chain(self.path)

    def _block(
        self, query: Select[Any]
    ) -> Sequence[Any]:  # Any: a query's columns are typed where they are unpacked
        try:
            with self._reader.connect() as connection:
                return connection.execute(query).all()
        except DBAPIError as error:
            raise explain(error, self.path) from error


def _is_below(stream: str) -> ColumnElement[bool]:
    """One range of the index: ``0`` is the character after the slash."""
    return or_(
        _events.stream == stream, and_(_events.stream > f"{stream}/", _events.stream < f"{stream}0")
    )


def _matching(
    until_seq: int | None,
    stream: str | None,
    types: Collection[str] | None,
    since_ns: int | None,
    until_ns: int | None,
) -> Select[Any]:
    query = select(schema.events).order_by(_events.seq)
    if until_seq is not None:
        query = query.where(_events.seq <= until_seq)
    if stream is not None:
        query = query.where(_events.stream == stream)
    if types is not None:
        query = query.where(_events.type.in_(types))
    if since_ns is not None:
        query = query.where(_events.at_ns >= since_ns)
    if until_ns is not None:
        query = query.where(_events.at_ns <= until_ns)
    return query
