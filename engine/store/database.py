"""Open the database: check it before anything is written, and configure its connections.

A database that is not sound is *refused* and left alone, its ``-wal`` included: the checks run on a
read-only connection, because closing a writable one would already fold the journal into the file.
Only what every start needs is looked at (a start must not get slower as history grows): the header,
the small tables, the head, and of the events as much as is checked in no time.
:mod:`engine.store.verify` reads all of them.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from engine.store import migrate, schema
from engine.store.errors import StoreCorrupt, StoreUnavailable, explain

BUSY_TIMEOUT_S: Final = 1.0
"""Nobody else writes; a lock that lasts longer is a mistake that the callers must see."""

CACHE_KIB: Final = 512
"""Page cache of a connection. The kernel has the pages as well, so appends take the same time with
SQLite's default of 2,000, and several connections keep theirs.
"""
QUICK_CHECK_BYTES_MAX: Final = 16 << 20
"""Databases up to this size are checked page by page at every start (about 2 ms per MiB)."""

_ALL_ROWS_FIT = "ok"


def writer_engine(path: Path) -> Engine:
    """Return an engine whose connections may write: ``BEGIN IMMEDIATE``, WAL, and commits that wait
    for the disk.
    """
    return _engine(
        path, "rw", "BEGIN IMMEDIATE", ["PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"]
    )


def reader_engine(path: Path) -> Engine:
    """Return an engine whose connections only read: each ``begin`` is one consistent view that
    blocks nobody.
    """
    return _engine(path, "ro", "BEGIN", [])


def _engine(path: Path, mode: str, begin: str, pragmas: list[str]) -> Engine:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,  # we say BEGIN ourselves, or sqlite3 would say it too late
            check_same_thread=False,  # a connection moves between threads, but never serves two
        )

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: object) -> None:
        for pragma in (f"PRAGMA cache_size=-{CACHE_KIB}", *pragmas):
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def say_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def prepare(path: Path) -> None:
    """Create the database, or check the existing one and bring it to today's schema.

    Raises:
        StoreCorrupt: it is not sound, or not ours, or of a newer engine; nothing has been changed.
        StoreUnavailable: it can't be read or written now.
    """
    try:
        if _is_new(path):
            _create(path)
        else:
            _with(reader_engine(path), lambda connection: _check(connection, path))
        engine = writer_engine(path)
        try:
            migrate.upgrade(engine, path)
        finally:
            engine.dispose()
    except (DBAPIError, sqlite3.Error) as error:
        raise explain(error, path) from error
    except OSError as error:
        raise StoreUnavailable(f"event log {path}: {error.strerror}") from error


def _with(engine: Engine, check: Callable[[Connection], None]) -> None:
    try:
        with engine.connect() as connection:
            check(connection)
    finally:
        engine.dispose()


def _is_new(path: Path) -> bool:
    """Return whether there is no database yet. A crash at creation leaves an empty file.

    SQLite deletes the journal of an empty database, and with it perhaps all that is left of one.
    """
    if path.exists() and path.stat().st_size > 0:
        return False
    journal = path.with_name(path.name + "-wal")
    if journal.exists() and journal.stat().st_size > 0:
        raise StoreCorrupt(f"event log {path}: the database is empty or gone, but {journal} is not")
    return True


def _create(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check(connection: Connection, path: Path) -> None:
    tables = inspect(connection).get_table_names()  # also: the first look at the file's header
    if not tables:
        return
    application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    if application != schema.APPLICATION_ID:
        raise StoreCorrupt(f"event log {path}: this is a database, but not one of ours")
    migrate.refuse_newer(connection, path)
    _check_pages(connection, path, tables)
    _check_head(connection, path)


def _check_pages(connection: Connection, path: Path, tables: list[str]) -> None:
    small = path.stat().st_size <= QUICK_CHECK_BYTES_MAX
    scopes = ["10"] if small else [f"'{table}'" for table in tables if table != schema.events.name]
    for scope in scopes:
        found = connection.exec_driver_sql(f"PRAGMA quick_check({scope})").scalars().all()
        if found != [_ALL_ROWS_FIT]:
            raise StoreCorrupt(f"event log {path}: the database is corrupt ({'; '.join(found)})")


def _check_head(connection: Connection, path: Path) -> None:
    """Refuse a head behind the events. It may be ahead: when someone has cut the tail, ``verify``
    reports that.
    """
    head = connection.execute(select(schema.head.c.seq)).scalar_one_or_none()
    newest = connection.execute(select(func.max(schema.events.c.seq))).scalar_one() or 0
    if head is None or newest > head:
        raise StoreCorrupt(f"event log {path}: the head says {head}, but the events go to {newest}")
