"""Copying, exporting and comparing as the API has it: status codes, headers, the log; only the
files are simulated."""

import base64
import json
from pathlib import Path

import trio

from engine.domain.container.audit_events import Exported, PathRead, PathWritten
from tests.api.minimal_server import Response, get, in_trio, post
from tests.api.simulated_engine import Harbour, harbour, told


async def ask(port: Harbour, method: str, path: str, body: bytes | None = None) -> Response:
    request = get(path) if body is None else post(path, body, "Content-Type: application/x-tar")
    return await port.toy.ask(request.replace(request.split(b" ")[0], method.encode(), 1), method)


def uses(port: Harbour) -> list[object]:
    kinds = (Exported, PathRead, PathWritten)
    log = port.ledger.log
    return [each.event for each in log.read() if isinstance(each.event, kinds)]


def path_stat(response: Response) -> object:
    return json.loads(base64.b64decode(response.headers["x-docker-container-path-stat"]))


@in_trio
async def test_a_path_is_looked_at_without_a_trace(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        await port.create("web")

        looked = await ask(port, "HEAD", "/containers/web/archive?path=/l")

        assert (looked.status, looked.body) == (200, b"")
        assert path_stat(looked) == {
            "name": "l",
            "size": 1,
            "mode": 134218239,
            "mtime": "1970-01-01T00:00:00.000000001Z",
            "linkTarget": "/f",
        }
        assert uses(port) == []


@in_trio
async def test_a_copy_out_is_a_tar_and_in_the_log_before_its_first_byte(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        await port.create("web")

        copied = await ask(port, "GET", "/containers/web/archive?path=/f")

        assert (copied.status, copied.body) == (200, b"onetwo")
        assert copied.headers["content-type"] == "application/x-tar"
        assert "x-docker-container-path-stat" in copied.headers
        assert uses(port) == [PathRead(path="/f")]
        assert all(chest.closed for chest in port.hold.chests)


@in_trio
async def test_an_export_is_a_stream_of_bytes(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        await port.create("web")

        exported = await ask(port, "GET", "/containers/web/export")

        assert (exported.status, exported.body) == (200, b"onetwo")
        assert exported.headers["content-type"] == "application/octet-stream"
        assert uses(port) == [Exported()]


@in_trio
async def test_a_copy_in_is_unpacked_as_asked(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        await port.create("web", User="joe")
        url = "/containers/web/archive?path=/"

        assert (await ask(port, "PUT", url, b"tar")).status == 200
        more = await ask(port, "PUT", f"{url}&noOverwriteDirNonDir=true&copyUIDGID=1", b"tar")
        assert more.status == 200

        plain, careful = port.hold.unpacked
        assert (plain[2].keep_kinds, plain[2].owner) == (False, "")
        assert (careful[2].keep_kinds, careful[2].owner) == (True, "joe")
        assert uses(port) == [PathWritten(path="/")] * 2
        assert all(crate.closed for crate in port.hold.crates)


@in_trio
async def test_what_can_not_be_is_refused_in_dockers_words(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        await port.create("web")
        await port.create("fixed", HostConfig={"ReadonlyRootfs": True})
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
            answer = await ask(port, method, path, b"tar" if method == "PUT" else None)

            assert (answer.status, told(answer)["message"]) == (status, message), path
        damaged = await ask(port, "PUT", f"{web}/", b"damaged")
        assert damaged.status == 400
        assert (uses(port), port.hold.unpacked) == ([], [])


@in_trio
async def test_a_container_that_ends_at_that_moment_is_looked_at_again(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        await port.create("web")
        assert (await port.post("/containers/web/start")).status == 204
        port.hold.gone_once = True
        answers: list[Response] = []

        async def copy() -> None:
            answers.append(await ask(port, "GET", "/containers/web/archive?path=/f"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy)
            await port.hold.seen_gone.wait()
            assert (await port.post("/containers/web/kill")).status == 204

        assert [answer.status for answer in answers] == [200]


@in_trio
async def test_changes_are_numbered_by_kind(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        await port.create("web")

        found = told(await port.get("/containers/web/changes"))

    assert found == [{"Path": "/a", "Kind": 1}, {"Path": "/b", "Kind": 2}]


@in_trio
async def test_sizes_are_told_to_whom_asks(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        await port.create("web")

        plain = told(await port.get("/containers/json?all=1"))
        sized = told(await port.get("/containers/json?all=1&size=1"))
        inspected = told(await port.get("/containers/web/json?size=true"))
        usage = told(await port.get("/system/df"))
        pruned = told(await port.post("/containers/prune"))

    assert "SizeRw" not in plain[0]
    assert (sized[0]["SizeRw"], sized[0]["SizeRootFs"]) == (11, 14)
    assert (inspected["SizeRw"], inspected["SizeRootFs"]) == (11, 14)
    assert usage["Containers"][0]["SizeRw"] == 11
    assert (usage["LayersSize"], usage["Images"][0]["SharedSize"]) == (7, 0)
    assert pruned["SpaceReclaimed"] == 11


@in_trio
async def test_only_the_kinds_that_were_asked_for_are_measured(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        await port.create("web")

        images = told(await port.get("/system/df?type=image"))
        two = told(await port.get("/system/df?type=container&type=volume"))
        wrong = await port.get("/system/df?type=moon")

    assert (images["Containers"], images["Volumes"], len(images["Images"])) == (None, None, 1)
    assert (len(two["Containers"]), two["Volumes"], two["Images"]) == (1, [], None)
    assert (wrong.status, told(wrong)["message"]) == (400, "unknown object type: moon")
