"""Which images are listed, pruned and told to be gone."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.minimal_server import in_trio, post
from tests.api.simulated_engine import Harbour, harbour, told


async def bring(port: Harbour, content: bytes, name: str = "") -> str:
    target = f"/images/create?fromSrc=-&repo={quote(name)}"
    response = await port.toy.ask(post(target, content), "POST")
    identity: str = told(response)["status"]
    return identity


def filtered(path: str, **filters: list[str]) -> str:
    wanted = {name.replace("_not", "!"): values for name, values in filters.items()}
    return f"{path}?filters={quote(json.dumps(wanted))}"


async def names(port: Harbour, **filters: list[str]) -> list[Any]:
    listed = told(await port.get(filtered("/images/json", **filters)))
    return sorted(tag for each in listed for tag in each["RepoTags"] or ["<none>"])


@in_trio
async def test_the_list_is_filtered_as_docker_filters_it(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        await bring(port, b"one", "some/thing:1")
        await bring(port, b"two")
        everything = ["<none>", "busybox:latest", "some/thing:1"]

        assert await names(port) == everything
        assert await names(port, reference=["*"]) == ["busybox:latest"]
        assert await names(port, reference=["*/*"]) == ["some/thing:1"]
        assert await names(port, reference=["some/thing", "busybox:*"]) == everything[1:]
        assert await names(port, reference=["docker.io/library/busybox"]) == []
        assert await names(port, dangling=["true"]) == ["<none>"]
        assert await names(port, dangling=["0"]) == everything[1:]
        assert await names(port, label=["x"]) == []
        assert await names(port, until=["2020-01-01T00:00:00Z"]) == []
        assert await names(port, until=["1h"], before=["busybox"]) == []
        assert await names(port, since=["busybox"]) == [], "all were made at one moment"


@pytest.mark.parametrize(
    ("filters", "status", "message"),
    [
        ({"foo": ["x"]}, 400, "invalid filter 'foo'"),
        ({"dangling": ["x"]}, 400, "invalid filter 'dangling=[x]'"),
        ({"dangling": ["true", "false"]}, 400, "invalid filter 'dangling=[true false]'"),
        ({"before": ["nosuch"]}, 404, "No such image: nosuch:latest"),
        ({"reference": ["[x"]}, 400, "syntax error in pattern"),
    ],
)
@in_trio
async def test_a_filter_that_means_nothing_is_refused(
    filters: dict[str, list[str]], status: int, message: str, tmp_path: Path
) -> None:
    async with harbour(tmp_path) as port:
        refused = await port.get(filtered("/images/json", **filters))

    assert (refused.status, told(refused)) == (status, {"message": message})


@in_trio
async def test_pruning_takes_what_is_nameless_and_unused_and_counts_what_that_wins(
    tmp_path: Path,
) -> None:
    async with harbour(tmp_path) as port:
        used = await bring(port, b"used!")
        await port.create("user", Image=used)
        gone = await bring(port, b"nameless")
        pruned = told(await port.post("/images/prune"))
        left = await names(port)

    assert pruned == {
        "ImagesDeleted": [{"Deleted": gone}, {"Deleted": gone}],
        "SpaceReclaimed": len(b"nameless"),
    }, "the image and its layer, which have one digest here"
    assert left == ["<none>", "busybox:latest"]


@in_trio
async def test_pruning_may_take_all_that_is_unused(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        await bring(port, b"one", "some/thing:1")
        pruned = told(await port.post(filtered("/images/prune", dangling=["false"])))
        left = await names(port)

    untagged = {line["Untagged"] for line in pruned["ImagesDeleted"] if "Untagged" in line}
    assert untagged == {"busybox:latest", "some/thing:1"}
    assert left == []


@in_trio
async def test_pruning_stops_at_a_moment_and_at_labels(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        await bring(port, b"nameless")
        early = await port.post(filtered("/images/prune", until=["2020-01-01T00:00:00Z"]))
        labelled = await port.post(filtered("/images/prune", label=["keep"]))
        two = await port.post(filtered("/images/prune", until=["1h", "2h"]))
        unlabelled = await port.post(filtered("/images/prune", label_not=["keep"]))

    nothing = {"ImagesDeleted": None, "SpaceReclaimed": 0}
    assert (told(early), told(labelled)) == (nothing, nothing)
    assert (two.status, told(two)["message"]) == (400, "more than one until filter specified")
    assert told(unlabelled)["SpaceReclaimed"] == len(b"nameless")


@in_trio
async def test_a_layer_that_a_container_keeps_is_not_told_to_be_gone(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        image = await bring(port, b"one", "some/thing:1")
        await port.create("user", Image="some/thing:1")
        forced = told(await port.delete("/images/some/thing:1?force=1"))

    assert forced == [{"Untagged": "some/thing:1"}, {"Deleted": image}]


@in_trio
async def test_names_that_no_image_may_have_are_refused(tmp_path: Path) -> None:
    async with harbour(tmp_path) as port:
        ambiguous = await port.post("/images/busybox/tag?repo=sha256&tag=abc")
        nothing = await port.post("/images/create")
        badly_named = await port.post("/images/create?fromImage=BAD")
        elsewhere = await port.post("/images/create?fromSrc=-&platform=linux/s390x")
        no_platform = await port.post("/images/create?fromSrc=-&platform=a/b/c/d")
        mainframe = quote(json.dumps({"os": "linux", "architecture": "s390x"}))
        other = await port.get(f"/images/busybox/json?platform={mainframe}")

    assert told(ambiguous)["message"] == (
        "refusing to create an ambiguous tag using digest algorithm as name"
    )
    assert [each.status for each in (ambiguous, nothing, badly_named, no_platform)] == [400] * 4
    assert elsewhere.status == 501
    assert (other.status, told(other)["message"]) == (
        404,
        "image with reference busybox was found but does not provide the specified platform (linux/s390x)",
    )
