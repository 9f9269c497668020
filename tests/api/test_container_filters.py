"""Test which containers a list shows, and the errors for invalid filters: as with the reference
engine.
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trio

from tests.api.minimal_server import in_trio
from tests.api.simulated_engine import SimulatedEngine, json_of, simulated_engine
from tests.api.test_phases import put_off

TICK_S = 0.001
"""Time stands still otherwise, and the order is by age."""
PORTS: dict[str, Any] = {
    "ExposedPorts": {"80/tcp": {}, "91/udp": {}},
    "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "18081"}]}},
}


async def fleet(engine: SimulatedEngine) -> None:
    """Make one container in each phase, oldest first."""
    await engine.create("up", Labels={"tier": "front"}, **PORTS)
    await engine.post("/containers/up/start")
    await trio.sleep(TICK_S)
    await engine.create("gone")
    await engine.post("/containers/gone/start")
    engine.world.machine.end(engine.service.containers.get("gone"), 3, None)
    await engine.post("/containers/gone/wait")
    await trio.sleep(TICK_S)
    await engine.create("new", HostConfig={"Binds": ["/tmp:/data"], "NetworkMode": "none"})
    await trio.sleep(TICK_S)
    await engine.create("still")
    await engine.post("/containers/still/start")
    await engine.post("/containers/still/pause")
    await trio.sleep(TICK_S)
    again = await engine.create("again")
    await engine.post("/containers/again/start")
    await engine.post("/containers/again/kill")
    await put_off(engine, again)


async def names(engine: SimulatedEngine, query: str = "all=1", **filters: list[str]) -> list[str]:
    answer = await engine.get(f"/containers/json?{query}&filters={quote(json.dumps(filters))}")
    assert answer.status == 200, answer
    return [each["Names"][0].removeprefix("/") for each in json_of(answer)]


@in_trio
async def test_the_list_shows_what_runs_or_will_again_newest_first(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await fleet(engine)
        assert await names(engine, "") == ["again", "still", "up"]
        assert await names(engine) == ["again", "still", "new", "gone", "up"]
        assert await names(engine, "limit=2") == ["again", "still"]
        assert await names(engine, "limit=-1") == ["again", "still", "up"]
        assert await names(engine, "", status=["exited", "created"]) == ["new", "gone"]


@in_trio
async def test_each_filter_chooses_as_dockers_does(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await fleet(engine)
        network = next(
            each["Id"]
            for each in json_of(await engine.get("/networks"))
            if each["Name"] == "bridge"
        )
        identity = json_of(await engine.get("/containers/up/json"))["Id"]
        for filters, chosen in (
            ({"id": [identity[:5]]}, ["up"]),
            ({"id": [identity[1:]]}, []),
            ({"name": ["^/u"]}, ["up"]),
            ({"name": ["p", "ne"]}, ["new", "gone", "up"]),
            ({"status": ["restarting"]}, ["again"]),
            ({"exited": ["3"]}, ["gone"]),
            ({"before": ["new"]}, ["gone", "up"]),
            ({"since": ["new"]}, ["again", "still"]),
            ({"volume": ["/data"]}, ["new"]),
            ({"volume": ["/tmp"]}, ["new"]),
            ({"network": ["none"]}, ["new"]),
            ({"network": [network[:8]], "status": ["running"]}, ["up"]),
            ({"publish": ["18081"]}, ["up"]),
            ({"publish": ["18000-18100/tcp"]}, ["up"]),
            ({"publish": ["80"]}, []),
            ({"publish": ["18081/udp"]}, []),
            ({"expose": ["91/udp"]}, ["up"]),
            ({"expose": ["70-85"]}, ["up"]),
            ({"expose": ["18081"]}, []),
            ({"expose": ["1"], "publish": ["18081"]}, ["up"]),
            ({"label": ["tier"]}, ["up"]),
            ({"label": ["tier=back"]}, []),
            ({"ancestor": ["busybox"], "status": ["paused"]}, ["still"]),
            ({"ancestor": ["nope"]}, []),
            ({"health": ["healthy"]}, []),
            (
                {"health": ["none"], "is-task": ["false"], "isolation": ["x"], "name": ["up"]},
                ["up"],
            ),
            ({"is-task": ["true"]}, []),
        ):
            assert await names(engine, **filters) == chosen, filters


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"status": ["foo"]}, "invalid filter 'status=foo'"),
        ({"health": ["foo"]}, "Unrecognised filter value for health: foo"),
        ({"is-task": ["x"]}, "invalid filter 'is-task=[x]'"),
        ({"exited": ["x"]}, 'strconv.Atoi: parsing "x": invalid syntax'),
        ({"exited": [""]}, 'strconv.Atoi: parsing "": invalid syntax'),
        ({"nope": ["x"]}, "invalid filter 'nope'"),
        (
            {"publish": ["x"]},
            'error while looking up for publish x: strconv.ParseUint: parsing "x": invalid syntax',
        ),
        (
            {"expose": ["99999"]},
            'error while looking up for expose 99999: strconv.ParseUint: parsing "99999": value out of range',
        ),
        (
            {"expose": [""]},
            "error while looking up for expose : Empty string specified for ports.",
        ),
        (
            {"publish": ["95-80"]},
            "error while looking up for publish 95-80: Invalid range specified for the Port: 95-80",
        ),
    ],
)
@in_trio
async def test_a_value_that_makes_no_sense_is_refused(
    filters: dict[str, list[str]], message: str, tmp_path: Path
) -> None:
    async with simulated_engine(tmp_path) as engine:
        answer = await engine.get(f"/containers/json?filters={quote(json.dumps(filters))}")

    assert (answer.status, json_of(answer)["message"]) == (400, message)


@pytest.mark.parametrize("name", ["before", "since"])
@pytest.mark.parametrize("reference", ["nope", ""])
@in_trio
async def test_a_missing_neighbour_is_reported(name: str, reference: str, tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web")
        answer = await engine.get(
            f"/containers/json?filters={quote(json.dumps({name: [reference]}))}"
        )

    assert (answer.status, json_of(answer)["message"]) == (404, f"No such container: {reference}")
