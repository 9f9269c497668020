"""Rows of the database that can't be read: one dead container, which can be removed; the daemon and
all others go on."""

import sqlite3
from contextlib import closing

import pytest

from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest


def spoil(daemon: DaemonUnderTest, table: str, container: str) -> None:
    """Write something into the newest row of a container that nobody can read."""
    database = daemon.data_root / "shipslog.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for trigger in ("update", "delete", "elsewhere"):
            connection.execute(f"DROP TRIGGER IF EXISTS events_refuse_{trigger}")
        newest = f"(SELECT max(rowid) FROM {table} WHERE stream = ?)"
        changed = connection.execute(
            f"UPDATE {table} SET data = 'nothing' WHERE rowid = {newest}",
            (f"container/{container}",),
        )
        assert changed.rowcount == 1


def test_a_state_that_can_not_be_read_is_a_dead_container_that_can_be_removed(
    daemon: DaemonUnderTest,
) -> None:
    bad = daemon.api.run("bad", *STOPS_AT_ONCE)
    good = daemon.api.run("good", *STOPS_AT_ONCE)
    daemon.kill()
    spoil(daemon, "aggregates", bad)
    daemon.start()

    state = daemon.api.inspect(bad)["State"]
    listed = {each["Id"]: each["State"] for each in daemon.api.ps()}
    verdict = daemon.api.verify()

    assert state["Status"] == "dead"
    assert "can't be read" in state["Error"]
    assert listed == {bad: "dead", good: "running"}
    assert any(bad in problem for problem in verdict["problems"])
    with pytest.raises(Refused):
        daemon.api.start("bad")

    daemon.api.remove("bad")

    assert daemon.api.event_types(bad)[-1] == "container_removed"
    assert daemon.api.verify()["ok"]
    daemon.api.remove(good)
    daemon.assert_nothing_leaked()


def test_an_event_that_can_not_be_read_is_named_by_an_audit(daemon: DaemonUnderTest) -> None:
    bad = daemon.api.run("bad", *STOPS_AT_ONCE)
    daemon.kill()
    spoil(daemon, "events", bad)
    daemon.start()

    verdict = daemon.api.verify()

    assert daemon.api.status(bad) == "running"
    assert any(bad in problem and "can't be read" in problem for problem in verdict["problems"])
    assert "unreadable" in daemon.api.event_types(bad)
    daemon.api.remove("bad")
    eventually(lambda: not daemon.api.ps(), "the container to go")
