"""Define the errors of the store, and convert those of the database."""

import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError, InvalidRequestError

from engine.errors import Conflict, EngineError, InvalidRequest, Unavailable


class VersionConflict(Conflict):
    """The stream has moved past the version that the change is for: load it and decide again."""


class StoreUnavailable(Unavailable):
    """Nothing was written and nothing is lost; the append may succeed once the cause is gone."""


class StoreFull(StoreUnavailable):
    """The disk is full."""


class EventTooLarge(InvalidRequest):
    """The request does not fit into one event."""


class StoreCorrupt(EngineError):
    """The database has content that we did not write. It is left exactly as it was found."""


class UnknownEvent(StoreCorrupt):
    """This version of the engine can't read the row."""


_IN_PLAIN_WORDS: Final[dict[str, tuple[type[EngineError], str]]] = {
    "SQLITE_FULL": (StoreFull, "the disk is full"),
    "SQLITE_BUSY": (StoreUnavailable, "the database is locked by another process"),
    "SQLITE_LOCKED": (StoreUnavailable, "the database is locked by another process"),
    "SQLITE_READONLY": (StoreUnavailable, "the database is read-only"),
    "SQLITE_CANTOPEN": (StoreUnavailable, "the database can't be opened"),
    "SQLITE_PERM": (StoreUnavailable, "the database can't be opened: permission denied"),
    "SQLITE_NOMEM": (StoreUnavailable, "there is not enough memory"),
    "SQLITE_IOERR": (StoreUnavailable, "the disk reports an error"),
    "SQLITE_CORRUPT": (StoreCorrupt, "the database is corrupt"),
    "SQLITE_NOTADB": (StoreCorrupt, "the file is not a database"),
    "SQLITE_CONSTRAINT": (VersionConflict, "the history has moved on"),
}
"""By primary result code (https://sqlite.org/rescode.html); extended codes begin with these."""


def explain(error: Exception, path: Path) -> EngineError:
    """Return the engine's error for an error of the database or the disk."""
    if isinstance(error, EngineError):
        return type(error)(*error.args)  # one each: a traceback belongs to one task
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, OSError | InvalidRequestError | MemoryError):
        return _caused_by(error, StoreUnavailable(f"event log {path}: it failed ({original!r})"))
    name = original.sqlite_errorname if isinstance(original, sqlite3.Error) else ""
    family = "_".join(name.split("_")[:2])
    kind, words = _IN_PLAIN_WORDS.get(family, (EngineError, "a row was refused"))
    return _caused_by(error, kind(f"event log {path}: {words} ({original})"))


def _caused_by(cause: Exception, error: EngineError) -> EngineError:
    error.__cause__ = cause
    return error
