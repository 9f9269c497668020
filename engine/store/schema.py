"""Define the tables, and the statements of the hot path.

The migrations create the tables; these definitions serve queries, and a test compares the two.
SQLAlchemy's compiler and its cache cost more than SQLite does for a row, so what runs for every
commit is compiled here and given to the driver as text.
"""

from typing import Final

from sqlalchemy import (
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.sql import ClauseElement

HEAD_REVISION: Final = "0001"
"""The newest migration: so that a start without pending migrations need not load Alembic. A test
keeps it true."""

APPLICATION_ID: Final = 0x534C4F47
"""``SLOG``: in the header of every database of ours
(https://sqlite.org/fileformat.html#application_id)."""

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("stream", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("schema", Integer, nullable=False),
    Column("data", Text, nullable=False),
    Column("at_ns", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("cause", Integer),
    Column("correlation", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    UniqueConstraint("stream", "version", name="events_stream_version"),
    Index("events_type", "type"),
    Index("events_at_ns", "at_ns"),
    sqlite_autoincrement=True,
)

aggregates = Table(
    "aggregates",
    metadata,
    Column("stream", Text, primary_key=True, nullable=False),
    Column("version", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

head = Table(
    "head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
"""One row: the last event and its hash, written in the transaction of that event."""


def _sql(statement: ClauseElement) -> str:
    return str(statement.compile(dialect=SQLiteDialect(paramstyle="qmark")))


_upsert = insert(aggregates)

INSERT_EVENT: Final = _sql(insert(events))
"""Parameters: the columns of ``events`` in order."""

UPSERT_AGGREGATE: Final = _sql(
    _upsert.on_conflict_do_update(
        index_elements=["stream"],
        set_={"version": _upsert.excluded.version, "data": _upsert.excluded.data},
    )
)
"""Parameters: stream, version, data."""

DELETE_AGGREGATE: Final = _sql(delete(aggregates).where(aggregates.c.stream == bindparam("stream")))
"""Parameter: stream."""

MOVE_HEAD: Final = _sql(
    update(head)
    .values(seq=bindparam("to_seq"), hash=bindparam("to_hash"))
    .where(head.c.seq == bindparam("from_seq"))
)
"""Parameters: new seq, new hash, the seq it must have had."""

SELECT_VERSION: Final = _sql(
    select(func.max(events.c.version)).where(events.c.stream == bindparam("stream"))
)
"""Parameter: stream."""

SELECT_HEAD: Final = _sql(select(head.c.seq, head.c.hash))
