"""Migrate the schema at start with Alembic, after a copy of the database.

A migration may add; it never rewrites history. It is one transaction, so a crash in the middle
leaves the old schema, and the next start begins again. Alembic takes a fifth of a second to load,
so it is loaded only when there is something to do.
"""

import os
import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import Column, Connection, Engine, MetaData, Table, Text, inspect, select

import engine as engine_package
from engine.store.errors import StoreCorrupt
from engine.store.schema import APPLICATION_ID, HEAD_REVISION

_INSTALLED: Final = Path(engine_package.__file__).parent / "_migrations"
_IN_THE_TREE: Final = Path(engine_package.__file__).parent.parent / "migrations"

_version = Table("alembic_version", MetaData(), Column("version_num", Text))


def scripts() -> Path:
    """Return the directory of the migrations: in the wheel, or beside the package in its
    repository.
    """
    return _INSTALLED if _INSTALLED.is_dir() else _IN_THE_TREE


def revision(connection: Connection) -> str | None:
    """Return the last migration that this database has seen; None for an empty one."""
    if not inspect(connection).has_table(_version.name):
        return None
    return connection.execute(select(_version.c.version_num)).scalar_one_or_none()


def refuse_newer(connection: Connection, path: Path) -> None:
    """Refuse a database that was written by a newer engine.

    Revisions are numbered, so that an older engine can tell newer from unknown.
    """
    found = revision(connection)
    if found is not None and found > HEAD_REVISION:
        raise StoreCorrupt(
            f"event log {path}: written by a newer Shipslog (schema {found}; this one knows {HEAD_REVISION})"
        )


def backup_path(path: Path, found: str) -> Path:
    """Return the path of the copy that is made before a database leaves schema ``found``."""
    return path.with_name(f"{path.name}.schema-{found}")


def upgrade(engine: Engine, path: Path) -> None:
    """Bring the database to today's schema, after a copy of an existing one."""
    with engine.connect() as connection:
        found = revision(connection)
        connection.rollback()
        if found == HEAD_REVISION:
            return
        if found is not None:
            _back_up(connection, backup_path(path, found))
        with connection.begin():
            _run(connection)
            connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")


def _run(connection: Connection) -> None:
    from alembic import command  # slow to load, seldom needed
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _back_up(connection: Connection, target: Path) -> None:
    """Copy the database; the copy gets its name only once it is whole and on the disk."""
    unfinished = target.with_name(target.name + ".part")
    unfinished.unlink(missing_ok=True)
    fd = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        copy = sqlite3.connect(unfinished)
        try:
            source = connection.connection.dbapi_connection
            assert isinstance(source, sqlite3.Connection)
            source.backup(copy)
        finally:
            copy.close()
        os.fsync(fd)
    finally:
        os.close(fd)
    unfinished.rename(target)
