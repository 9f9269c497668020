"""Test readers of ``/events``: where they begin, where they resume, and what many slow ones
cost.
"""

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import trio
import trio.testing

from engine.api.events.show import POSITION
from engine.domain.container.audit_events import Resized
from engine.domain.event import SUPERVISOR, Origin
from engine.domain.ids import ContainerId
from engine.domain.streams import container_stream
from tests.api.minimal_server import Client, get, in_trio
from tests.api.simulated_engine import SimulatedEngine, json_of, simulated_engine

EVERYTHING = "since=0&until=NOW"
BURST = 1200
"""More than a follower's memory holds."""
CROWD = 50


async def some_history(engine: SimulatedEngine) -> None:
    await engine.create("web", Labels={"a": "b"})
    for verb in ("start", "pause", "unpause", "stop"):
        await trio.sleep(0.001)  # so that not everything happens at one moment
        await engine.post(f"/containers/web/{verb}")
    await engine.delete("/containers/web")


def moment(at_ns: int) -> str:
    return f"{at_ns // 10**9}.{at_ns % 10**9:09d}"


async def ask(engine: SimulatedEngine, query: str) -> list[Any]:
    """Return what has happened by now; the future, in which ``until`` lies, is not waited for."""
    query = query.replace("until=NOW", f"until={moment(engine.ledger.clock.wall_ns())}")
    answer = await engine.get(f"/events?{query}")
    assert answer.status == 200, answer
    return [json.loads(line) for line in answer.body.splitlines()]


def filters(**wanted: list[str]) -> str:
    return f"filters={quote(json.dumps(wanted))}"


def positions(events: list[Any]) -> list[str]:
    return [each["Actor"]["Attributes"][POSITION] for each in events]


@in_trio
async def test_a_reader_goes_on_after_any_event_without_gap_or_repetition(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await some_history(engine)
        everything = await ask(engine, EVERYTHING)
        for number, position in enumerate(positions(everything), 1):
            rest = await ask(engine, f"after_seq={position}&until=NOW")
            filtered = await ask(engine, f"{filters(after_seq=[position])}&until=NOW")
            assert rest == filtered == everything[number:]

    assert len(set(positions(everything))) == len(everything) > 10


@in_trio
async def test_a_resumed_follower_skips_no_message_of_an_event(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await some_history(engine)
        everything = await ask(engine, EVERYTHING)
        started = [each for each in everything if each["Action"] == "start"]
        seq, part = positions(started)[0].split(".")
        rest = await ask(engine, f"after_seq={seq}&until=NOW")

    assert part == "2", "the network comes first"
    assert rest == everything[everything.index(started[0]) + 1 :]


@in_trio
async def test_a_resumed_follower_gets_later_events(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await some_history(engine)
        *_, last = await ask(engine, EVERYTHING)
        client = await engine.server.connect()
        await client.send(get(f"/events?after_seq={positions([last])[0]}"))
        await client.stream.receive_some()
        await engine.create("later")
        event = json.loads(bytes(await client.stream.receive_some()).split(b"\r\n")[1])

    assert (event["Action"], event["Actor"]["Attributes"]["name"]) == ("create", "later")


@in_trio
async def test_moments_are_understood_in_every_form(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await some_history(engine)
        everything = await ask(engine, EVERYTHING)
        for since in ("1", "1.5", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00.5%2B01:00", "1000h"):
            assert await ask(engine, f"since={since}&until=NOW") == everything
        (number, paused), *_ = [
            each for each in enumerate(everything) if each[1]["Action"] == "pause"
        ]
        at = moment(paused["timeNano"])
        assert await ask(engine, f"since={at}&until=NOW") == everything[number:]
        assert await ask(engine, f"until={at}") == everything[: number + 1]
        assert await ask(engine, "until=0s") == everything


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("since=x", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("until=yesterday", 'strconv.ParseInt: parsing "yesterday": invalid syntax'),
        ("since=20&until=10", "`since` time (20) cannot be after `until` time (10)"),
        (filters(nope=["x"]), "invalid filter 'nope'"),
        ("filters=%7B", "invalid filter"),
        ("after_seq=x", "invalid after_seq 'x': not a position in the log"),
        (filters(after_seq=["1.2.3"]), "invalid after_seq '1.2.3': not a position in the log"),
    ],
)
@in_trio
async def test_a_malformed_query_is_refused(query: str, message: str, tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        answer = await engine.get(f"/events?{query}")

    assert answer.status == 400
    assert message in json_of(answer)["message"]


@in_trio
async def test_prunes_are_reported_with_the_space_reclaimed(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web")
        for kind in ("containers", "images", "networks", "volumes", "build"):
            assert (await engine.post(f"/{kind}/prune")).status == 200
        events = await ask(engine, f"{EVERYTHING}&{filters(event=['prune', 'destroy'])}")

    assert [(each["Type"], each["Action"]) for each in events] == [
        ("container", "destroy"),
        ("container", "prune"),
        ("image", "prune"),
        ("network", "prune"),
        ("volume", "prune"),
        ("builder", "prune"),
    ]
    assert events[1]["Actor"] == {
        "ID": "",
        "Attributes": {"reclaimed": "0", POSITION: positions(events)[1]},
    }
    assert "id" not in events[1]


async def burst(engine: SimulatedEngine, identity: str, count: int) -> None:
    """Make many events at once: more than one group of the log has, and each for every follower."""
    stream, origin = container_stream(ContainerId(identity)), Origin(actor=SUPERVISOR)
    for first in range(0, count, 100):
        sizes = tuple(Resized(height=number, width=1) for number in range(first, first + 100))
        await engine.ledger.record(origin, (stream, sizes))


def heights(body: bytes) -> list[int]:
    lines = [line for line in body.split(b"\r\n") if line.startswith(b'{"Type"')]
    events = [json.loads(each) for line in lines for each in line.splitlines()]
    return [int(each["Actor"]["Attributes"]["height"]) for each in events]


@in_trio
async def test_a_follower_that_falls_behind_misses_nothing(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        identity = await engine.create("web")
        client = await engine.server.connect()
        await client.send(get("/events"))
        await client.stream.receive_some()

        await burst(engine, identity, BURST)

        body = b""
        while f'"height":"{BURST - 1}"'.encode() not in body:
            body += await client.stream.receive_some()
    assert heights(body) == list(range(BURST))


@in_trio
async def test_many_followers_that_do_not_read_delay_no_other_client(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine, AsyncExitStack() as crowd:
        identity = await engine.create("web")
        followers: list[Client] = []
        for _ in range(CROWD):
            client = await engine.server.connect()
            await crowd.enter_async_context(client.stream)
            await client.send(get("/events"))
            followers.append(client)
        await trio.testing.wait_all_tasks_blocked(0.01)

        await burst(engine, identity, BURST)
        assert (await engine.post("/containers/web/start")).status == 204

        slow = followers[-1]
        body = b""
        while b'"Action":"start"' not in body:
            body += await slow.stream.receive_some()
    assert heights(body.split(b'"Action":"connect"')[0].rsplit(b"\n", 1)[0]) == list(range(BURST))
