"""Test events of networks, in Docker's words, and what a prune removes."""

import json
import time
from typing import Any

import pytest

from tests.harness.client import Json
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

FOREVER = ("sleep", "1000")


def reported(daemon: DaemonUnderTest, after: int) -> list[tuple[str, str]]:
    """Return the actions on networks, each with the network's name."""
    body = daemon.api.call(
        "GET", "/events", after_seq=after, until=time.time(), filters='{"type":["network"]}'
    ).body
    events: list[Json] = [json.loads(line) for line in body.splitlines()]
    return [(each["Action"], each["Actor"]["Attributes"]["name"]) for each in events]


def make(daemon: DaemonUnderTest, name: str, **body: Any) -> str:
    made: str = daemon.api.post("/networks/create", {"Name": name, **body}).json["Id"]
    return made


def last_seq(daemon: DaemonUnderTest) -> int:
    seq: int = daemon.api.history()[-1]["seq"]
    return seq


def test_the_lifecycle_of_networks_is_reported_as_by_docker(
    daemon: DaemonUnderTest,
) -> None:
    after = last_seq(daemon)
    api = daemon.api
    for name in ("front", "back"):
        make(daemon, name)
    web = api.create("web", *FOREVER, HostConfig={"NetworkMode": "front"})
    api.start(web)
    api.post("/networks/back/connect", {"Container": web})
    api.post("/networks/front/disconnect", {"Container": web})
    api.kill(web)
    api.wait(web)
    api.post("/networks/front/connect", {"Container": web})
    api.post("/networks/front/disconnect", {"Container": web})
    for name in ("front", "back"):
        api.call("DELETE", f"/networks/{name}")

    assert reported(daemon, after) == [
        ("create", "front"),
        ("create", "back"),
        ("connect", "front"),
        ("connect", "back"),
        ("disconnect", "front"),
        ("disconnect", "back"),
        ("disconnect", "front"),
        ("destroy", "front"),
        ("destroy", "back"),
    ]


def test_a_reader_that_begins_in_the_middle_gets_the_same(daemon: DaemonUnderTest) -> None:
    make(daemon, "front")
    web = daemon.api.create("web", *FOREVER, HostConfig={"NetworkMode": "front"})
    daemon.api.start(web)
    after = last_seq(daemon)
    daemon.api.kill(web)
    daemon.api.wait(web)
    daemon.api.call("DELETE", "/networks/front")

    assert reported(daemon, after) == [("disconnect", "front"), ("destroy", "front")]


def test_a_prune_removes_unused_networks_that_match_the_filters(daemon: DaemonUnderTest) -> None:
    api = daemon.api
    make(daemon, "kept", Labels={"keep": "yes"})
    make(daemon, "unused", Labels={"of": "mine"})
    make(daemon, "used")
    api.start(api.create("web", *FOREVER, HostConfig={"NetworkMode": "used"}))

    def pruned(**filters: list[str]) -> list[str]:
        answer = api.post("/networks/prune", filters=json.dumps(filters)).json
        return sorted(answer["NetworksDeleted"] or [])

    def dangling(value: str) -> set[str]:
        listed = api.get("/networks", filters=json.dumps({"dangling": [value]}))
        return {each["Name"] for each in listed}

    assert dangling("true") == {"kept", "unused"}
    assert dangling("false") == {"used", "bridge", "host", "none"}
    assert pruned(until=["1h"]) == []
    assert pruned(label=["of=other"]) == []
    assert pruned(**{"label!": ["keep"]}) == ["unused"]
    assert pruned() == ["kept"]
    api.remove("web")
    assert pruned() == ["used"]
