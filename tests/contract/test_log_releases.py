"""Test that databases of every released version open, replay and verify."""

import sqlite3
from pathlib import Path

import pytest

from engine.store.log import EventLog
from tests import data

DUMPS = sorted(Path(next(iter(data.__path__))).glob("release-*.sql"))


def test_there_is_a_database_of_every_release() -> None:
    assert DUMPS


@pytest.mark.parametrize("dump", DUMPS, ids=lambda dump: dump.stem)
def test_a_released_database_replays(dump: Path, tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(dump.read_text())
    connection.close()

    log = EventLog.open(path, threaded=False)
    replayed = list(log.read())
    report = log.verify_chain()
    log.close()

    assert len(replayed) == log.last_seq > 0
    assert report.problems == ()
