"""Test copying, exporting and comparing by the API: status codes, headers, the log; only the files
are simulated.
"""

import base64
import json
from pathlib import Path

import trio

from engine.domain.container.audit_events import Exported, PathRead, PathWritten
from engine.domain.ids import ContainerId
from tests.api.minimal_server import Response, get, in_trio, post
from tests.api.simulated_engine import SimulatedEngine, json_of, simulated_engine
from tests.fakes.tars import members_of
from tests.harness.tars import tar_of

TAR = tar_of({"new": b"hello world"})


async def ask(
    engine: SimulatedEngine, method: str, path: str, body: bytes | None = None
) -> Response:
    request = get(path) if body is None else post(path, body, "Content-Type: application/x-tar")
    return await engine.server.ask(
        request.replace(request.split(b" ")[0], method.encode(), 1), method
    )


def uses(engine: SimulatedEngine) -> list[object]:
    kinds = (Exported, PathRead, PathWritten)
    log = engine.ledger.log
    return [each.event for each in log.read() if isinstance(each.event, kinds)]


def path_stat(response: Response) -> object:
    return json.loads(base64.b64decode(response.headers["x-docker-container-path-stat"]))


@in_trio
async def test_a_look_up_of_a_path_leaves_no_trace(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web")

        looked = await ask(engine, "HEAD", "/containers/web/archive?path=/l")

        assert (looked.status, looked.body) == (200, b"")
        assert path_stat(looked) == {
            "name": "l",
            "size": 2,
            "mode": 134218239,
            "mtime": "1970-01-01T00:00:02Z",
            "linkTarget": "/f",
        }
        assert uses(engine) == []


@in_trio
async def test_a_copy_out_is_a_tar_and_in_the_log_before_its_first_byte(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web")

        copied = await ask(engine, "GET", "/containers/web/archive?path=/f")

        assert (copied.status, members_of(copied.body)) == (200, {"f": b"hello"})
        assert copied.headers["content-type"] == "application/x-tar"
        assert "x-docker-container-path-stat" in copied.headers
        assert uses(engine) == [PathRead(path="/f")]
        assert all(reading.closed for reading in engine.files.readings)


@in_trio
async def test_an_export_is_a_stream_of_bytes(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web")

        exported = await ask(engine, "GET", "/containers/web/export")

        assert exported.status == 200
        assert members_of(exported.body) == {"f": b"hello", "d/in": b"inside"}
        assert exported.headers["content-type"] == "application/octet-stream"
        assert uses(engine) == [Exported()]


@in_trio
async def test_a_copy_in_is_unpacked_as_asked(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web", User="1000")
        url = "/containers/web/archive?path=/"

        assert (await ask(engine, "PUT", url, TAR)).status == 200
        more = await ask(engine, "PUT", f"{url}&noOverwriteDirNonDir=true&copyUIDGID=1", TAR)
        assert more.status == 200

        plain, careful = engine.files.unpacked
        assert (plain.keep_kinds, plain.owner) == (False, "")
        assert (careful.keep_kinds, careful.owner) == (True, "1000")
        assert uses(engine) == [PathWritten(path="/")] * 2
        assert all(upload.closed for upload in engine.files.uploads)


@in_trio
async def test_impossible_requests_are_refused_in_dockers_words(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web")
        await engine.create("fixed", HostConfig={"ReadonlyRootfs": True})
        web = "/containers/web/archive?path="
        cases = {
            ("GET", "/containers/no/archive?path=/f"): (404, "No such container: no"),
            ("GET", f"{web}/no"): (404, "Could not find the file /no in container web"),
            ("GET", web): (400, "bad parameter: pathcannot be empty"),
            ("GET", "/containers/no/export"): (404, "No such container: no"),
            ("GET", "/containers/no/changes"): (404, "No such container: no"),
            ("PUT", f"{web}/no"): (404, "Could not find the file /no in container web"),
            ("PUT", f"{web}/f"): (400, "extraction point is not a directory"),
            ("PUT", "/containers/fixed/archive?path=/"): (
                403,
                "container rootfs is marked read-only",
            ),
        }
        for (method, path), (status, message) in cases.items():
            answer = await ask(engine, method, path, TAR if method == "PUT" else None)

            assert (answer.status, json_of(answer)["message"]) == (status, message), path
        damaged = await ask(engine, "PUT", f"{web}/", b"damaged")
        assert damaged.status == 400
        assert (uses(engine), engine.files.unpacked) == ([], [])


@in_trio
async def test_a_container_that_ends_at_that_moment_is_looked_at_again(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web")
        assert (await engine.post("/containers/web/start")).status == 204
        engine.files.gone_once = True
        answers: list[Response] = []

        async def copy() -> None:
            answers.append(await ask(engine, "GET", "/containers/web/archive?path=/f"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy)
            await engine.files.seen_gone.wait()
            assert (await engine.post("/containers/web/kill")).status == 204

        assert [answer.status for answer in answers] == [200]


@in_trio
async def test_changes_are_numbered_by_kind(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        identity = ContainerId(await engine.create("web"))
        assert (await ask(engine, "PUT", "/containers/web/archive?path=/d", TAR)).status == 200
        engine.files.delete(identity, "/f")

        found = json_of(await engine.get("/containers/web/changes"))

    assert found == [
        {"Path": "/d", "Kind": 0},
        {"Path": "/d/new", "Kind": 1},
        {"Path": "/f", "Kind": 2},
    ]


@in_trio
async def test_sizes_are_shown_on_request(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web")
        assert (await ask(engine, "PUT", "/containers/web/archive?path=/", TAR)).status == 200

        plain = json_of(await engine.get("/containers/json?all=1"))
        sized = json_of(await engine.get("/containers/json?all=1&size=1"))
        inspected = json_of(await engine.get("/containers/web/json?size=true"))
        usage = json_of(await engine.get("/system/df"))
        pruned = json_of(await engine.post("/containers/prune"))

    assert "SizeRw" not in plain[0]
    assert (sized[0]["SizeRw"], sized[0]["SizeRootFs"]) == (11, 14)
    assert (inspected["SizeRw"], inspected["SizeRootFs"]) == (11, 14)
    assert usage["Containers"][0]["SizeRw"] == 11
    assert (usage["LayersSize"], usage["Images"][0]["SharedSize"]) == (3, 0)
    assert pruned["SpaceReclaimed"] == 11


@in_trio
async def test_only_the_kinds_that_were_asked_for_are_measured(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.create("web")

        images = json_of(await engine.get("/system/df?type=image"))
        two = json_of(await engine.get("/system/df?type=container&type=volume"))
        wrong = await engine.get("/system/df?type=moon")

    assert (images["Containers"], images["Volumes"], len(images["Images"])) == (None, None, 1)
    assert (len(two["Containers"]), two["Volumes"], two["Images"]) == (1, [], None)
    assert (wrong.status, json_of(wrong)["message"]) == (400, "unknown object type: moon")
