"""The audit: is the log what was written, all of it and nothing else?

Every row's hash is computed again, ``seq`` must have no gap, every stream's versions must be 1, 2, 3, …, and the log must end
where the head says. A changed row is reported once: the chain is picked up again from the hash that the row has.
"""

from collections.abc import Iterable, Iterator
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

_BLOCK_ROWS: Final = 5000


def verify_chain(path: Path) -> VerifyReport:
    """Read the whole log and compare. Appends that happen meanwhile are left to the next audit.

    Raises:
        StoreUnavailable: the database can't be opened now.
    """
    engine = database.reader_engine(path)
    audit = _Audit()
    try:
        with engine.connect() as connection:
            head_seq, head_hash = connection.exec_driver_sql(schema.SELECT_HEAD).one()
            audit.pages(connection)
            newest = connection.execute(select(func.max(schema.events.c.seq))).scalar_one() or 0
        if newest > head_seq:
            audit.complain(head_seq + 1, f"the head says {head_seq}, but events go to {newest}")
        for row, digest in _rows(engine, head_seq):
            audit.row(row, digest)
        audit.end(head_seq, head_hash)
    except DBAPIError as error:
        audit.complain(audit.seq + 1, str(explain(error, path)))
    finally:
        engine.dispose()
    return audit.report()


def _rows(engine: Engine, until_seq: int) -> Iterator[tuple[Row, bytes]]:
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


class _Audit:
    def __init__(self) -> None:
        self.seq = 0
        self._count = 0
        self._hash = GENESIS
        self._versions: dict[str, int] = {}
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
        expected = self._versions.get(row.stream, 0) + 1
        if row.version != expected:
            self.complain(
                row.seq, f"event {row.seq}: {row.stream} goes to {row.version}, not to {expected}"
            )
        self._versions[row.stream] = row.version

    def end(self, head_seq: int, head_hash: bytes) -> None:
        if self.seq < head_seq:
            self.complain(self.seq + 1, _missing(self.seq + 1, head_seq))
        elif self._hash != head_hash:
            self.complain(head_seq, f"the head has another hash than event {head_seq}")

    def report(self) -> VerifyReport:
        return VerifyReport(self._count, self._first_bad, tuple(self._problems))


def _is_sound(previous: bytes, row: Row, digest: bytes) -> bool:
    try:
        return next_hash(previous, row) == digest
    except (TypeError, UnicodeError):  # a column of another kind than we write
        return False


def _missing(first: int, last: int) -> str:
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"
