"""Test requests of Docker's clients, from the first byte to the log and back; only the kernel is
simulated.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.api.minimal_server import get, in_trio, post
from tests.api.simulated_engine import SimulatedEngine, json_of, simulated_engine
from tests.fakes.streams import STDOUT, frame

UPGRADE = ("Connection: Upgrade", "Upgrade: tcp")


@in_trio
async def test_ping_says_what_clients_negotiate_by(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        pong = await engine.get("/_ping")
        head = await engine.server.ask(get("/_ping").replace(b"GET", b"HEAD"), "HEAD")

    assert (pong.status, pong.body) == (200, b"OK")
    assert pong.headers["cache-control"] == "no-cache, no-store, must-revalidate"
    assert pong.headers["builder-version"] == "1"
    assert pong.headers["swarm"] == "inactive"
    assert head.headers["api-version"] == "1.51"


@in_trio
async def test_a_containers_lifecycle_is_reported(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        identity = await engine.create("web", Labels={"a": "b"})
        assert (await engine.post("/containers/web/start")).status == 204
        assert (await engine.post("/containers/web/start")).status == 304
        listed = json_of(await engine.get("/v1.51/containers/json"))
        assert (await engine.post("/containers/web/pause")).status == 204
        paused = json_of(await engine.get("/containers/web/json"))
        assert (await engine.post("/containers/web/unpause")).status == 204
        assert (await engine.post("/containers/web/rename?name=www")).status == 204
        assert (await engine.post("/containers/www/stop?t=1")).status == 204
        assert (await engine.post("/containers/www/stop")).status == 304
        stopped = json_of(await engine.get(f"/containers/{identity[:12]}/json"))
        assert (await engine.delete("/containers/www")).status == 204
        assert (await engine.get("/containers/www/json")).status == 404

    assert [each["Names"] for each in listed] == [["/web"]]
    assert listed[0]["State"] == "running"
    assert paused["State"]["Status"] == "paused"
    assert paused["NetworkSettings"]["IPAddress"] == "172.17.0.2"
    assert stopped["State"]["Status"] == "exited"
    assert stopped["Name"] == "/www"


@in_trio
async def test_waiting_is_answered_before_it_is_over(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web")
        client = await engine.server.connect()
        await client.send(post("/containers/web/wait?condition=next-exit"))
        head = await client.stream.receive_some()
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert head.endswith(b"\r\n\r\n"), (
            "the head alone: the client starts the container when it has it"
        )

        await engine.post("/containers/web/start")
        await engine.post("/containers/web/kill")

        chunk = bytes(await client.stream.receive_some())
        assert json.loads(chunk.split(b"\r\n")[1]) == {"StatusCode": 137}


CREATE_REFUSED: list[tuple[str, Any, int, str]] = [
    ("", None, 400, "config cannot be empty in order to create a container"),
    ("", {"Image": "nope"}, 404, "No such image: nope:latest"),
    ("", {"Image": "NOPE"}, 400, "must be lowercase"),
    ("", {"Image": ""}, 400, "no image specified"),
    ("?name=a%20b", {"Image": "busybox"}, 400, "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    ("?name=taken", {"Image": "busybox"}, 409, 'Conflict. The container name "/taken" is already in use by container "'),
    ("", {"Image": "busybox", "HostConfig": {"Memory": 1}}, 400, "Minimum memory limit allowed is 6MB"),
    ("", {"Image": "busybox", "HostConfig": {"CpusetCpus": "99"}}, 400, "Requested CPUs are not available"),
    ("", {"Image": "busybox", "HostConfig": {"Devices": [{}]}}, 400, "invalid device: it has no path on the host"),
]  # fmt: skip


@in_trio
async def test_creations_that_are_refused_leave_nothing_behind(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("taken")
        before = engine.ledger.log.last_seq
        for query, body, status, message in CREATE_REFUSED:
            response = await engine.post(f"/containers/create{query}", body)
            assert (response.status, message in json_of(response)["message"]) == (status, True), (
                response
            )

        assert engine.ledger.log.last_seq == before


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/containers/nope/start", 404, "No such container: nope"),
        (
            "POST",
            "/containers/nope/kill",
            404,
            "cannot kill container: nope: No such container: nope",
        ),
        ("POST", "/containers/made/kill", 409, "is not running"),
        ("POST", "/containers/made/kill?signal=FOO", 400, "invalid signal: FOO"),
        ("POST", "/containers/made/stop?t=x", 400, 'parsing "x": invalid syntax'),
        ("POST", "/containers/made/pause", 409, "is not running"),
        ("POST", "/containers/made/rename", 400, "Neither old nor new names may be empty"),
        ("POST", "/containers/made/wait?condition=foo", 400, 'invalid condition: "foo"'),
        ("POST", "/containers/made/resize?h=x&w=1", 400, 'invalid resize height "x"'),
        ("POST", "/containers/made/resize?h=1&w=99999", 400, "value out of range"),
        ("GET", "/containers/made/logs", 400, "you must choose at least one stream"),
        ("GET", "/containers/made/logs?stdout=1&since=x", 400, "invalid syntax"),
        ("GET", "/containers/made/top", 409, "is not running"),
        ("GET", "/containers/json?filters=bad", 400, "invalid filter"),
        (
            "GET",
            "/containers/json?filters=%7B%22foo%22:%5B%22x%22%5D%7D",
            400,
            "invalid filter 'foo'",
        ),
        (
            "GET",
            "/containers/json?filters=%7B%22status%22:%5B%22x%22%5D%7D",
            400,
            "invalid filter 'status=x'",
        ),
        (
            "GET",
            "/containers/json?filters=%7B%22before%22:%5B%22nope%22%5D%7D",
            404,
            "No such container: nope",
        ),
        ("GET", "/containers/json?limit=x", 400, "invalid syntax"),
        ("DELETE", "/containers/made?link=1", 409, "cannot remove the default link name"),
        ("POST", "/exec/nope/start", 404, "No such exec instance: nope"),
        ("GET", "/exec/nope/json", 404, "No such exec instance: nope"),
        ("POST", "/images/nope/tag?repo=x", 404, "No such image: nope:latest"),
        ("POST", "/images/busybox/tag?repo=", 400, "invalid reference format"),
        ("GET", "/images/nope/json", 404, "No such image: nope:latest"),
        ("DELETE", "/images/nope", 404, "No such image: nope:latest"),
        ("DELETE", "/images/busybox", 409, "unable to remove repository reference"),
        ("POST", "/images/create?fromImage=nope", 501, "pulling images is not supported yet"),
        (
            "POST",
            "/images/create?fromSrc=http://x",
            501,
            "importing from a URL is not supported yet",
        ),
        ("GET", "/networks/nope", 404, "network nope not found"),
        ("GET", "/volumes/nope", 404, "get nope: no such volume"),
        ("GET", "/swarm", 503, "This node is not a swarm manager."),
        ("POST", "/build", 501, "building images is not supported yet"),
        ("GET", "/events?since=x", 400, "invalid syntax"),
        ("GET", "/shipslog/containers/json", 400, "at: which moment"),
        ("GET", "/shipslog/history?since=x", 400, "not a time in nanoseconds"),
        ("GET", "/shipslog/history?stream_of=nope", 404, "No such object in the history: nope"),
        ("GET", "/v1.99/info", 400, "client version 1.99 is too new"),
        ("DELETE", "/info", 404, "page not found"),
    ],
)
@in_trio
async def test_failures_are_reported_in_dockers_words(
    method: str, path: str, status: int, message: str, tmp_path: Path
) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("made")
        before = engine.ledger.log.last_seq

        response = await engine.server.ask(get(path).replace(b"GET", method.encode(), 1), method)

        assert response.status == status
        assert message in json_of(response)["message"]
        assert engine.ledger.log.last_seq == before


@in_trio
async def test_attach_hands_over_the_connection_with_input_that_was_sent_early(
    tmp_path: Path,
) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web", OpenStdin=True)
        client = await engine.server.connect()
        request = post(
            "/containers/web/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-x", b"", *UPGRADE
        )
        await client.send(request + b"typed")
        await engine.post("/containers/web/start")
        await engine.post("/containers/web/kill")
        head, _, rest = (await client.rest()).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 101 UPGRADED")
    assert b"multiplexed-stream" in head
    assert rest == frame(STDOUT, b"typed")
    options = engine.streams.attached[0]
    assert (options.stdin, options.stdout, options.stderr, options.detach_keys) == (
        True,
        True,
        False,
        "ctrl-x",
    )


@in_trio
async def test_attach_may_begin_with_the_log(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web", Labels={"stdout": "one\n", "stderr": "two\n"})
        await engine.post("/containers/web/start")
        client = await engine.server.connect()
        await client.send(post("/v1.41/containers/web/attach?logs=1&stdout=1&stderr=1"))
        head, _, rest = (await client.rest()).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"raw-stream" in head
    assert rest == b"\x01\0\0\0\0\0\0\x04one\n\x02\0\0\0\0\0\0\x04two\n"


@in_trio
async def test_an_attach_that_is_refused_is_answered_in_http(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web")
        missing = await engine.server.ask(
            post("/containers/nope/attach?stream=1&stdout=1", b"", *UPGRADE), "POST"
        )
        keys = await engine.server.ask(
            post("/containers/web/attach?stream=1&stdin=1&detachKeys=zz", b"", *UPGRADE), "POST"
        )

    assert missing.status == 404
    assert keys.status == 400


@in_trio
async def test_an_exec_runs_attached_or_detached_and_its_end_is_known(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web")
        await engine.post("/containers/web/start")
        attached = json_of(
            await engine.post("/containers/web/exec", {"Cmd": ["ls", "-l"], "AttachStdout": True})
        )["Id"]
        client = await engine.server.connect()
        await client.send(
            post(f"/exec/{attached}/start", b"{}", "Content-Type: application/json", *UPGRADE)
        )
        answer = await client.rest()
        detached = json_of(await engine.post("/containers/web/exec", {"Cmd": "ls"}))["Id"]
        assert (await engine.post(f"/exec/{detached}/start", {"Detach": True})).status == 200
        again = await engine.post(f"/exec/{detached}/start", {"Detach": True})
        shown = json_of(await engine.get(f"/exec/{attached}/json"))
        none = await engine.post("/containers/web/exec", {"Cmd": []})

    assert answer.endswith(b"\r\n\r\n" + frame(STDOUT, b"-l\n"))
    assert again.status == 409
    assert (shown["ProcessConfig"]["entrypoint"], shown["ProcessConfig"]["arguments"]) == (
        "ls",
        ["-l"],
    )
    assert (none.status, json_of(none)["message"]) == (400, "no exec command specified")


@in_trio
async def test_logs_end_by_themselves_or_with_the_container(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web", Labels={"stdout": "one\n", "stderr": "two\n"})
        await engine.post("/containers/web/start")
        whole = await engine.get("/containers/web/logs?stdout=1&stderr=1")
        client = await engine.server.connect()
        await client.send(get("/containers/web/logs?stdout=1&follow=1"))
        seen = b""
        while b"one\n" not in seen:
            seen += await client.stream.receive_some()
        await engine.post("/containers/web/kill")

        rest = await client.rest_of_chunks()

    assert whole.body.endswith(b"two\n")
    assert whole.headers["content-type"] == "application/vnd.docker.multiplexed-stream"
    assert rest == b""


@in_trio
async def test_images_are_loaded_tagged_and_untagged(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        damaged = await engine.server.ask(post("/images/create?fromSrc=-", b"damaged"), "POST")
        archive = await engine.get("/images/busybox/get")
        loaded = await engine.server.ask(post("/images/load", archive.body), "POST")
        assert (await engine.post("/images/busybox/tag?repo=other&tag=1")).status == 201
        names = [each["RepoTags"] for each in json_of(await engine.get("/images/json"))]
        shown = json_of(await engine.get("/images/other:1/json"))
        gone = json_of(await engine.delete("/images/other:1"))

    assert (damaged.status, json_of(damaged)["message"]) == (
        400,
        "invalid tar archive: unexpected EOF",
    )
    assert json_of(loaded) == {"stream": "Loaded image: busybox:latest\n"}
    assert sorted(map(tuple, names)) == [("busybox:latest", "other:1")]
    assert shown["RepoTags"] == ["busybox:latest", "other:1"]
    assert gone == [{"Untagged": "other:1"}]


def lines_of(body: bytes) -> list[Any]:
    return [json.loads(line) for line in body.splitlines()]


async def some_history(engine: SimulatedEngine) -> None:
    await engine.create("early")
    await engine.delete("/containers/early")
    await engine.create("web", Labels={"a": "b"})
    await engine.post("/containers/web/start")
    await engine.post("/containers/web/rename?name=www")


@in_trio
async def test_events_report_all_history_in_dockers_words(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await some_history(engine)
        until = engine.ledger.clock.wall_ns() / 1e9 + 1
        everything = lines_of((await engine.get(f"/events?since=0&until={until:.9f}")).body)
        query = "filters=%7B%22container%22:%5B%22www%22%5D%7D"
        of_one = lines_of((await engine.get(f"/events?since=0&until={until:.9f}&{query}")).body)

    actions = [f"{each['Type']} {each['Action']}" for each in everything]
    assert actions == [
        "network create",
        "image import",
        "image tag",
        "container create",
        "container destroy",
        "container create",
        "network connect",
        "container start",
        "container rename",
    ]
    assert everything[4]["Actor"]["Attributes"]["name"] == "early"
    assert [each["Action"] for each in of_one] == ["rename"], (
        "as in Docker, by the name it had then"
    )
    assert of_one[0]["Actor"]["Attributes"] == {
        "a": "b",
        "image": "busybox",
        "name": "www",
        "oldName": "/web",
        "shipslog.seq": "11.1",
    }


@in_trio
async def test_history_without_an_answer_is_empty(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        nothing = await engine.get("/shipslog/history?type=network_drifted")

    assert (nothing.status, nothing.body) == (200, b"")


@in_trio
async def test_events_are_followed_from_now_on_and_know_older_containers(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await some_history(engine)
        client = await engine.server.connect()
        await client.send(get("/events"))
        await client.stream.receive_some()
        await trio.testing.wait_all_tasks_blocked(0.01)
        await engine.post("/containers/www/pause")
        event = json.loads(bytes(await client.stream.receive_some()).split(b"\r\n")[1])

    assert (event["Action"], event["Actor"]["Attributes"]["name"]) == ("pause", "www")


@in_trio
async def test_history_names_who_asked_and_what_became_of_it(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await some_history(engine)
        entries = lines_of((await engine.get("/shipslog/history?stream_of=early")).body)
        mine = lines_of((await engine.get("/shipslog/history?type=container_created")).body)
        verdict = json_of(await engine.get("/shipslog/verify"))

    assert [each["type"] for each in entries] == [
        "container_created",
        "container_remove_requested",
        "container_removed",
    ]
    assert entries[0]["name"] == "early"
    assert entries[0]["actor"]["program"].endswith(("python", "python3.11"))
    assert entries[1]["correlation"] == entries[2]["correlation"]
    assert [each["name"] for each in mine] == ["early", "web"]
    assert (verdict["ok"], verdict["problems"]) == (True, [])


@in_trio
async def test_the_past_can_be_listed_and_inspected(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("early")
        await trio.sleep(10)
        then_ns = engine.ledger.clock.wall_ns()
        await trio.sleep(10)
        await engine.delete("/containers/early")

        listed = json_of(await engine.get(f"/shipslog/containers/json?at={then_ns}&all=1"))
        shown = json_of(await engine.get(f"/shipslog/containers/early/json?at={then_ns}"))
        now = json_of(await engine.get("/containers/json?all=1"))

    assert [each["Names"] for each in listed] == [["/early"]]
    assert shown["State"]["Status"] == "created"
    assert now == []


@in_trio
async def test_version_and_info_are_complete_enough_for_clients(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web")
        version = json_of(await engine.get("/version"))
        info = json_of(await engine.get("/info"))
        usage = json_of(await engine.get("/system/df"))
        networks = json_of(await engine.get("/networks"))
        by_prefix = json_of(await engine.get("/networks/bbbb"))

    assert (version["ApiVersion"], version["MinAPIVersion"]) == ("1.51", "1.24")
    assert (info["Containers"], info["ContainersStopped"], info["Images"], info["NCPU"]) == (
        1,
        1,
        1,
        2,
    )
    assert usage["LayersSize"] == 3
    assert [each["Name"] for each in networks] == ["bridge"]
    assert by_prefix["Name"] == "bridge"


FILTERED: list[tuple[dict[str, list[str]], list[str]]] = [
    ({"name": ["^we"]}, ["web"]),
    ({"name": ["/db"]}, ["db"]),
    ({"label": ["role=front"]}, ["web"]),
    ({"label": ["role"]}, ["db", "web"]),
    ({"status": ["created"]}, ["db"]),
    ({"status": ["running", "created"]}, ["db", "web"]),
    ({"ancestor": ["busybox"]}, ["db", "web"]),
    ({"ancestor": ["nope"]}, []),
    ({"before": ["db"]}, ["web"]),
    ({"since": ["web"]}, ["db"]),
    ({"expose": ["80/tcp"]}, ["web"]),
    ({"network": ["bridge"]}, ["db", "web"]),
    ({"volume": ["/data"]}, ["db"]),
    ({"exited": ["0"]}, []),
    ({"health": ["none"]}, ["db", "web"]),
    ({"is-task": ["true"]}, []),
]


@in_trio
async def test_the_list_is_filtered_as_docker_filters_it(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web", Labels={"role": "front"}, ExposedPorts={"80/tcp": {}})
        await engine.post("/containers/web/start")
        await trio.sleep(1)
        await engine.create("db", Labels={"role": "back"}, HostConfig={"Binds": ["/tmp:/data"]})
        for filters, names in FILTERED:
            quoted = (
                json.dumps(filters)
                .replace('"', "%22")
                .replace("{", "%7B")
                .replace("}", "%7D")
                .replace(" ", "")
            )
            listed = json_of(await engine.get(f"/containers/json?all=1&filters={quoted}"))
            assert [each["Names"][0][1:] for each in listed] == names, filters

        limited = json_of(await engine.get("/containers/json?limit=1"))
        running = json_of(await engine.get("/containers/json"))

    assert [each["Names"] for each in limited] == [["/db"]]
    assert [each["Names"] for each in running] == [["/web"]]


@in_trio
async def test_prune_takes_what_does_not_run_and_was_asked_for(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        kept = await engine.create("kept", Labels={"keep": "1"})
        gone = await engine.create("gone")
        await engine.create("web")
        await engine.post("/containers/web/start")
        pruned = json_of(
            await engine.post("/containers/prune?filters=%7B%22label!%22:%5B%22keep%22%5D%7D")
        )
        left = {each["Id"] for each in json_of(await engine.get("/containers/json?all=1"))}

    assert pruned["ContainersDeleted"] == [gone]
    assert kept in left
    assert len(left) == 2
