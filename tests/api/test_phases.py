"""Test every verb in every phase of a container: which status, which message, and the phase
afterwards.

Compared with the reference engine by hand, 20.10, in the same order. Where this table differs from
its answers, v1.51 does: ``container … is not running`` has a small letter now, and what was a
needless 500 is a 409.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import trio.testing

from engine.domain.container.events import RestartScheduled
from engine.domain.event import SUPERVISOR, Origin
from engine.domain.ids import ContainerId
from engine.domain.streams import container_stream
from tests.api.minimal_server import Response, get, in_trio, post
from tests.api.simulated_engine import SimulatedEngine, json_of, simulated_engine

YEARS_NS: Final = 10**18
"""Longer than any test waits, by whatever clock."""

NOT_RUNNING: Final = "container {id} is not running"
NOT_KILLED: Final = "cannot kill container: web: container {id} is not running"
NOT_PAUSED: Final = "Container {id} is not paused"
RESTARTING: Final = "Container {id} is restarting, wait until the container is running"
ABSENT: Final = "No such container: web"
LINKED: Final = "Conflict, cannot remove the default link name of the container"


class Case(NamedTuple):
    """The answer, and the container's phase afterwards; None: it is removed."""

    status: int
    message: str
    then: str | None


VERBS: Final = {
    "start": "POST /containers/web/start",
    "stop": "POST /containers/web/stop?t=1",
    "restart": "POST /containers/web/restart?t=1",
    "kill": "POST /containers/web/kill",
    "signal": "POST /containers/web/kill?signal=CONT",
    "pause": "POST /containers/web/pause",
    "unpause": "POST /containers/web/unpause",
    "rename": "POST /containers/web/rename?name=other",
    "remove": "DELETE /containers/web?v=1",
    "force": "DELETE /containers/web?v=1&force=1",
    "link": "DELETE /containers/web?link=1",
    "resize": "POST /containers/web/resize?h=3&w=4",
    "top": "GET /containers/web/top",
    "exec": "POST /containers/web/exec",
    "attach": "POST /containers/web/attach",
}

MATRIX: Final[dict[str, dict[str, Case]]] = {
    "created": {
        "start": Case(204, "", "running"),
        "stop": Case(304, "", "created"),
        "restart": Case(204, "", "running"),
        "kill": Case(409, NOT_KILLED, "created"),
        "signal": Case(409, NOT_KILLED, "created"),
        "pause": Case(409, NOT_RUNNING, "created"),
        "unpause": Case(409, NOT_PAUSED, "created"),
        "rename": Case(204, "", "created"),
        "remove": Case(204, "", None),
        "force": Case(204, "", None),
        "link": Case(409, LINKED, "created"),
        "resize": Case(409, NOT_RUNNING, "created"),
        "top": Case(409, NOT_RUNNING, "created"),
        "exec": Case(409, NOT_RUNNING, "created"),
        "attach": Case(200, "", "created"),
    },
    "running": {
        "start": Case(304, "", "running"),
        "stop": Case(204, "", "exited"),
        "restart": Case(204, "", "running"),
        "kill": Case(204, "", "exited"),
        "signal": Case(204, "", "running"),
        "pause": Case(204, "", "paused"),
        "unpause": Case(409, NOT_PAUSED, "running"),
        "rename": Case(204, "", "running"),
        "remove": Case(
            409,
            "You cannot remove a running container {id}. "
            "Stop the container before attempting removal or force remove",
            "running",
        ),
        "force": Case(204, "", None),
        "link": Case(409, LINKED, "running"),
        "resize": Case(200, "", "running"),
        "exec": Case(201, "", "running"),
        "attach": Case(200, "", "running"),
    },
    "paused": {
        "start": Case(409, "cannot start a paused container, try unpause instead", "paused"),
        "stop": Case(204, "", "exited"),
        "restart": Case(204, "", "running"),
        "kill": Case(204, "", "exited"),
        "signal": Case(204, "", "paused"),
        "pause": Case(409, "Container {id} is already paused", "paused"),
        "unpause": Case(204, "", "running"),
        "rename": Case(204, "", "paused"),
        "remove": Case(
            409,
            "You cannot remove a paused container {id}. "
            "Unpause and then stop the container before attempting removal or force remove",
            "paused",
        ),
        "force": Case(204, "", None),
        "link": Case(409, LINKED, "paused"),
        "resize": Case(200, "", "paused"),
        "exec": Case(409, "Container web is paused, unpause the container before exec", "paused"),
        "attach": Case(
            409, "container web is paused, unpause the container before attach", "paused"
        ),
    },
    "exited": {
        "start": Case(204, "", "running"),
        "stop": Case(304, "", "exited"),
        "restart": Case(204, "", "running"),
        "kill": Case(409, NOT_KILLED, "exited"),
        "signal": Case(409, NOT_KILLED, "exited"),
        "pause": Case(409, NOT_RUNNING, "exited"),
        "unpause": Case(409, NOT_PAUSED, "exited"),
        "rename": Case(204, "", "exited"),
        "remove": Case(204, "", None),
        "force": Case(204, "", None),
        "link": Case(409, LINKED, "exited"),
        "resize": Case(409, NOT_RUNNING, "exited"),
        "top": Case(409, NOT_RUNNING, "exited"),
        "exec": Case(409, NOT_RUNNING, "exited"),
        "attach": Case(200, "", "exited"),
    },
    "restarting": {
        "start": Case(304, "", "restarting"),
        "stop": Case(204, "", "exited"),
        "restart": Case(204, "", "running"),
        "kill": Case(204, "", "exited"),
        "signal": Case(204, "", "restarting"),
        "pause": Case(409, RESTARTING, "restarting"),
        "unpause": Case(409, NOT_PAUSED, "restarting"),
        "rename": Case(204, "", "restarting"),
        "remove": Case(
            409,
            "You cannot remove a restarting container {id}. "
            "Stop the container before attempting removal or force remove",
            "restarting",
        ),
        "force": Case(204, "", None),
        "link": Case(409, LINKED, "restarting"),
        "resize": Case(409, NOT_RUNNING, "restarting"),
        "top": Case(409, RESTARTING, "restarting"),
        "exec": Case(409, RESTARTING, "restarting"),
        "attach": Case(
            409,
            "container web is restarting, wait until the container is running",
            "restarting",
        ),
    },
    "removed": {
        **{verb: Case(404, ABSENT, None) for verb in VERBS},
        "kill": Case(404, f"cannot kill container: web: {ABSENT}", None),
        "signal": Case(404, f"cannot kill container: web: {ABSENT}", None),
    },
}


async def arrive(engine: SimulatedEngine, phase: str) -> str:
    """Make the container ``web`` and bring it into a phase."""
    identity = await engine.create("web")
    match phase:
        case "removed":
            await engine.delete("/containers/web")
        case "running" | "paused" | "exited" | "restarting":
            await engine.post("/containers/web/start")
            if phase == "paused":
                await engine.post("/containers/web/pause")
            if phase in ("exited", "restarting"):
                await engine.post("/containers/web/kill")
            if phase == "restarting":
                await put_off(engine, identity)
    return identity


async def put_off(engine: SimulatedEngine, identity: str) -> None:
    """Delay a due restart beyond the test."""
    due = RestartScheduled(delay_s=YEARS_NS / 1e9, due_boot_ns=YEARS_NS)
    stream = container_stream(ContainerId(identity))
    await engine.ledger.record(Origin(actor=SUPERVISOR), (stream, (due,)))


async def ask(engine: SimulatedEngine, verb: str) -> Response:
    method, path = VERBS[verb].split(" ")
    if verb == "exec":
        return await engine.post(path, {"Cmd": ["true"]})
    if method == "POST":
        return await engine.server.ask(post(path), method)
    return await engine.server.ask(get(path).replace(b"GET", method.encode(), 1), method)


def cases() -> Iterator[tuple[str, str, Case]]:
    for phase, verbs in MATRIX.items():
        for verb, case in verbs.items():
            yield phase, verb, case


@pytest.mark.parametrize(("phase", "verb", "case"), tuple(cases()))
@in_trio
async def test_a_verb_does_in_a_phase(phase: str, verb: str, case: Case, tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        identity = await arrive(engine, phase)

        response = await ask(engine, verb)

        found = await engine.get(f"/containers/{identity}/json")
    message = json_of(response)["message"] if response.status >= 400 else ""
    then = json_of(found)["State"]["Status"] if found.status == 200 else None
    assert Case(response.status, message, then) == case._replace(
        message=case.message.format(id=identity)
    )


@in_trio
async def test_a_kill_between_two_runs_keeps_the_next_from_coming(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        identity = await arrive(engine, "restarting")
        assert json_of(await engine.get(f"/containers/{identity}/json"))["State"]["Running"]

        await engine.post("/containers/web/kill")

        state = json_of(await engine.get(f"/containers/{identity}/json"))["State"]
    assert (state["Status"], state["Running"], state["Restarting"]) == ("exited", False, False)


@pytest.mark.parametrize("grace", ["-1", "9223372036854775807", "99999999999"])
@in_trio
async def test_a_grace_without_an_end_waits_for_the_end(grace: str, tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web", Labels={"obeys": "SIGUSR1"})
        await engine.post("/containers/web/start")
        client = await engine.server.connect()

        await client.send(post(f"/containers/web/stop?t={grace}"))
        await trio.testing.wait_all_tasks_blocked(0.01)
        await engine.post("/containers/web/kill?signal=USR1")

        assert (await client.stream.receive_some()).startswith(b"HTTP/1.1 204")


@in_trio
async def test_a_signal_to_what_is_frozen_is_sent_before_it_goes_on(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await arrive(engine, "paused")
        await engine.post("/containers/web/stop?t=1")
        lines = (await engine.get("/shipslog/history?stream_of=web")).body.splitlines()

    types = [json.loads(line)["type"] for line in lines]
    assert types.index("container_signalled") < types.index("container_unpaused")
