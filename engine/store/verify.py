"""Audit the log: find rows that were changed, added or removed.

Every row's hash is computed again, ``seq`` must have no gap, every stream's versions must be 1, 2,
3, …, and the log must end where the head says. A changed row is reported once: the chain is picked
up again from the hash that the row has.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

from engine.store import database, schema
from engine.store.chain import GENESIS, Row, next_hash
from engine.store.errors import explain
from engine.store.records import VerifyReport

PROBLEMS_MAX: Final = 100
"""Sentences in a report; a person stops reading earlier."""

_BLOCK_ROWS: Final = 100
_STEPS: Final = 100_000
"""Instructions of SQLite's machine between two pauses: some milliseconds."""
_STREAMS_REMEMBERED: Final = 4096
"""Streams whose last version is kept; that of any other is looked up, or the audit would grow with
the log."""


def verify_chain(
    path: Path,
    until_seq: int | None = None,
    *,
    follow: Callable[[Row], None] | None = None,
    pause: Callable[[], None] | None = None,
) -> VerifyReport:
    """Read the whole log, and check hashes, versions and the head. Events appended meanwhile are
    left to the next audit.

    Args:
        path: of the database.
        until_seq: the last event to look at; None is the newest there is at the beginning.
        follow: gets every row, sound or not.
        pause: called between blocks; what it raises ends the audit.

    Raises:
        StoreUnavailable: the database can't be opened now.
    """
    engine = database.reader_engine(path)
    audit = _Audit(engine)
    try:
        with engine.connect() as connection, connection.begin(), _paused(connection, pause):
            head_seq, head_hash = connection.exec_driver_sql(schema.SELECT_HEAD).one()
            audit.pages(connection)
            newest = connection.execute(select(func.max(schema.events.c.seq))).scalar_one() or 0
        if newest > head_seq:
            audit.complain(head_seq + 1, f"the head says {head_seq}, but events go to {newest}")
        last_seq = head_seq if until_seq is None else min(head_seq, until_seq)
        for row, digest in _rows(engine, last_seq, pause):
            audit.row(row, digest)
            if follow is not None:
                follow(row)
        audit.end(last_seq, head_hash if last_seq == head_seq else None)
    except DBAPIError as error:
        if pause is not None:
            pause()  # or it was this that ended the statement
        audit.complain(audit.seq + 1, str(explain(error, path)))
    finally:
        engine.dispose()
    return audit.report()


@contextmanager
def _paused(connection: Connection, pause: Callable[[], None] | None) -> Iterator[None]:
    """Call ``pause`` now and then while a statement runs; an exception that it raises ends the
    statement.
    """
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    if pause is None:
        yield
        return

    def check() -> None:
        pause()

    raw.set_progress_handler(check, _STEPS)
    try:
        yield
    finally:
        raw.set_progress_handler(None, 0)


def _rows(
    engine: Engine, until_seq: int, pause: Callable[[], None] | None
) -> Iterator[tuple[Row, bytes]]:
    columns = schema.events.c
    after = 0
    while True:
        with engine.connect() as connection:
            block = connection.execute(
                select(schema.events)
                .where(columns.seq > after, columns.seq <= until_seq)
                .order_by(columns.seq)
                .limit(_BLOCK_ROWS)
            ).all()
        for stored in block:
            *fields, digest = stored
            yield Row(*fields), digest
        if len(block) < _BLOCK_ROWS:
            return
        after = block[-1].seq
        if pause is not None:
            pause()


class _Audit:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.seq = 0
        self._count = 0
        self._hash = GENESIS
        self._versions: OrderedDict[str, int] = OrderedDict()
        self._problems: list[str] = []
        self._first_bad: int | None = None

    def complain(self, seq: int, problem: str) -> None:
        self._first_bad = seq if self._first_bad is None else min(seq, self._first_bad)
        if len(self._problems) < PROBLEMS_MAX:
            self._problems.append(problem)

    def pages(self, connection: Connection) -> None:
        found: Iterable[Any] = connection.exec_driver_sql("PRAGMA integrity_check(10)").scalars()
        for problem in found:
            if problem != "ok":
                self.complain(self.seq + 1, f"database: {problem}")

    def row(self, row: Row, digest: bytes) -> None:
        self._count += 1
        if row.seq != self.seq + 1:
            self.complain(self.seq + 1, _missing(self.seq + 1, row.seq - 1))
        elif not _is_sound(self._hash, row, digest):
            self.complain(row.seq, f"event {row.seq} of {row.stream} has been changed")
        self._version(row)
        self.seq, self._hash = row.seq, digest

    def _version(self, row: Row) -> None:
        expected = self._last_version(row) + 1
        if row.version != expected:
            self.complain(
                row.seq, f"event {row.seq}: {row.stream} goes to {row.version}, not to {expected}"
            )
        self._versions[row.stream] = row.version
        if len(self._versions) > _STREAMS_REMEMBERED:
            self._versions.popitem(last=False)

    def _last_version(self, row: Row) -> int:
        """Return the last version of the row's stream before this row. The table guarantees that no
        stream has a version twice.
        """
        known = self._versions.pop(row.stream, None)
        if known is not None or row.version == 1:
            return known or 0
        columns = schema.events.c
        query = select(func.max(columns.version)).where(
            columns.stream == row.stream, columns.seq < row.seq
        )
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one() or 0

    def end(self, last_seq: int, last_hash: bytes | None) -> None:
        """Compare the last event with the head; ``last_hash`` is None if the head has moved on."""
        if self.seq < last_seq:
            self.complain(self.seq + 1, _missing(self.seq + 1, last_seq))
        elif last_hash is not None and self._hash != last_hash:
            self.complain(last_seq, f"the head has another hash than event {last_seq}")

    def report(self) -> VerifyReport:
        return VerifyReport(self._count, self._first_bad, tuple(self._problems))


def _is_sound(previous: bytes, row: Row, digest: bytes) -> bool:
    try:
        return next_hash(previous, row) == digest
    except (TypeError, UnicodeError):  # a column of another kind than we write
        return False


def _missing(first: int, last: int) -> str:
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"
