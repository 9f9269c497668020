"""Test rows that can't be read: their container is dead and can be removed, everything else goes
on, and the rows stay as they are.
"""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest
from tests.harness.image_archives import image_archive

BOTH: Final = ("aggregates", "events")
"""The stored state, and the history from which it could be computed again."""
KINDS: Final = ("container", "exec", "network", "default network", "image")


@contextmanager
def database(daemon: DaemonUnderTest) -> Iterator[sqlite3.Connection]:
    path = daemon.data_root / "shipslog.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def spoil(daemon: DaemonUnderTest, stream: str, *tables: str) -> None:
    """Write text that nobody can read into every row of a stream in some tables."""
    with database(daemon) as connection:
        for trigger in ("update", "delete", "elsewhere"):
            connection.execute(f"DROP TRIGGER IF EXISTS events_refuse_{trigger}")
        for table in tables:
            changed = connection.execute(
                f"UPDATE {table} SET data = 'nothing' WHERE stream = ?", (stream,)
            )
            assert changed.rowcount > 0


def stored(daemon: DaemonUnderTest, stream: str) -> list[tuple[object, ...]]:
    """Return every row of a stream, with all columns."""
    with database(daemon) as connection:
        query = "SELECT * FROM {} WHERE stream = ? ORDER BY version"
        found = [connection.execute(query.format(table), (stream,)) for table in BOTH]
        return [row for cursor in found for row in cursor]


def layer_files(daemon: DaemonUnderTest) -> set[Path]:
    return {path for path in (daemon.data_root / "layers").rglob("*") if path.is_file()}


@pytest.fixture
def streams(daemon: DaemonUnderTest) -> dict[str, str]:
    """One of each kind: a container with an exec in a network, and an unused image."""
    network = daemon.api.post("/networks/create", {"Name": "mine"}).json["Id"]
    default = daemon.api.get("/networks/bridge")["Id"]
    daemon.api.post("/images/load", image_archive("unused"))
    image = daemon.api.get("/images/unused/json")["Id"]
    bad = daemon.api.run("bad", *STOPS_AT_ONCE, HostConfig={"NetworkMode": "mine"})
    execution = daemon.api.exec_detached(bad, "sleep", "1000")
    names = (
        f"container/{bad}",
        f"container/{bad}/exec/{execution}",
        f"network/{network}",
        f"network/{default}",
        f"image/{image}",
    )
    return dict(zip(KINDS, names, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_not_be_read_at_all_costs_nothing_else_and_is_not_touched(
    kind: str, daemon: DaemonUnderTest, streams: dict[str, str]
) -> None:
    good = daemon.api.run("good", *STOPS_AT_ONCE, HostConfig={"NetworkMode": "none"})
    files, stream = layer_files(daemon), streams[kind]
    daemon.kill()
    spoil(daemon, stream, *BOTH)
    before = stored(daemon, stream)

    daemon.start()

    assert daemon.api.status(good) == "running"
    verdict = daemon.api.verify()
    assert any(stream in problem and "can't be read" in problem for problem in verdict["problems"])
    body = daemon.api.call("GET", "/events", since="1", until=f"{time.time()}").body
    events = [json.loads(line) for line in body.splitlines()]
    assert [each["Action"] for each in events if each["Actor"]["ID"] == good] == ["create", "start"]
    assert daemon.api.get("/shipslog/containers/json", at=time.time_ns())
    daemon.restart()
    daemon.api.remove(good)
    daemon.api.remove(daemon.api.run("new", *STOPS_AT_ONCE))
    assert daemon.terminate() == 0
    daemon.start()
    assert stored(daemon, stream) == before
    assert layer_files(daemon) == files, "what an unreadable image holds may be needed"
    (bad,) = daemon.api.ps()
    assert bad["State"] == ("running" if kind in ("exec", "image", "default network") else "dead")
    daemon.api.remove(bad["Id"])
    daemon.api.call("DELETE", "/images/busybox")
    assert "background_loop_failed" not in daemon.log


def test_a_container_in_a_network_that_can_not_be_read_is_dead(
    daemon: DaemonUnderTest, streams: dict[str, str]
) -> None:
    daemon.kill()
    spoil(daemon, streams["network"], *BOTH)
    daemon.start()

    state = daemon.api.inspect("bad")["State"]

    assert state["Status"] == "dead"
    assert f"is in {streams['network']}, which can't be read" in state["Error"]
    with pytest.raises(Refused):
        daemon.api.start("bad")


def test_a_state_that_can_not_be_read_is_a_dead_container_that_can_be_removed(
    daemon: DaemonUnderTest,
) -> None:
    bad = daemon.api.run("bad", *STOPS_AT_ONCE)
    good = daemon.api.run("good", *STOPS_AT_ONCE)
    daemon.kill()
    spoil(daemon, f"container/{bad}", "aggregates")
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
    spoil(daemon, f"container/{bad}", "events")
    daemon.start()

    verdict = daemon.api.verify()

    assert daemon.api.status(bad) == "running"
    assert any(bad in problem and "can't be read" in problem for problem in verdict["problems"])
    assert "unreadable" in daemon.api.event_types(bad)
    daemon.api.remove("bad")
    eventually(lambda: not daemon.api.ps(), "the container to go")
