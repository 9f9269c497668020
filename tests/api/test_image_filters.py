"""Test which images are listed, pruned, and reported as deleted."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from engine.domain.image.config import digest_of
from tests.api.minimal_server import in_trio
from tests.api.simulated_engine import SimulatedEngine, json_of, simulated_engine
from tests.harness.tars import tar_of


def filtered(path: str, **filters: list[str]) -> str:
    wanted = {name.replace("_not", "!"): values for name, values in filters.items()}
    return f"{path}?filters={quote(json.dumps(wanted))}"


async def names(engine: SimulatedEngine, **filters: list[str]) -> list[Any]:
    listed = json_of(await engine.get(filtered("/images/json", **filters)))
    return sorted(tag for each in listed for tag in each["RepoTags"] or ["<none>"])


@in_trio
async def test_the_list_is_filtered_as_docker_filters_it(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.import_image({"file": b"one"}, "some/thing:1")
        await engine.import_image({"file": b"two"})
        everything = ["<none>", "busybox:latest", "some/thing:1"]

        assert await names(engine) == everything
        assert await names(engine, reference=["*"]) == ["busybox:latest"]
        assert await names(engine, reference=["*/*"]) == ["some/thing:1"]
        assert await names(engine, reference=["some/thing", "busybox:*"]) == everything[1:]
        assert await names(engine, reference=["docker.io/library/busybox"]) == []
        assert await names(engine, dangling=["true"]) == ["<none>"]
        assert await names(engine, dangling=["0"]) == everything[1:]
        assert await names(engine, label=["x"]) == []
        assert await names(engine, until=["2020-01-01T00:00:00Z"]) == []
        assert await names(engine, until=["1h"], before=["busybox"]) == []
        assert await names(engine, since=["busybox"]) == [], "all were made at one moment"


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
    async with simulated_engine(tmp_path) as engine:
        refused = await engine.get(filtered("/images/json", **filters))

    assert (refused.status, json_of(refused)) == (status, {"message": message})


@in_trio
async def test_pruning_takes_what_is_nameless_and_unused_and_counts_what_that_wins(
    tmp_path: Path,
) -> None:
    nameless = {"file": b"nameless"}
    async with simulated_engine(tmp_path) as engine:
        used = await engine.import_image({"file": b"used!"})
        await engine.create("user", Image=used)
        gone = await engine.import_image(nameless)
        pruned = json_of(await engine.post("/images/prune"))
        left = await names(engine)

    assert pruned == {
        "ImagesDeleted": [{"Deleted": gone}, {"Deleted": digest_of(tar_of(nameless))}],
        "SpaceReclaimed": len(b"nameless"),
    }, "the image and its layer"
    assert left == ["<none>", "busybox:latest"]


@in_trio
async def test_pruning_may_take_all_that_is_unused(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.import_image({"file": b"one"}, "some/thing:1")
        pruned = json_of(await engine.post(filtered("/images/prune", dangling=["false"])))
        left = await names(engine)

    untagged = {line["Untagged"] for line in pruned["ImagesDeleted"] if "Untagged" in line}
    assert untagged == {"busybox:latest", "some/thing:1"}
    assert left == []


@in_trio
async def test_pruning_stops_at_a_moment_and_at_labels(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        await engine.import_image({"file": b"nameless"})
        early = await engine.post(filtered("/images/prune", until=["2020-01-01T00:00:00Z"]))
        labelled = await engine.post(filtered("/images/prune", label=["keep"]))
        two = await engine.post(filtered("/images/prune", until=["1h", "2h"]))
        unlabelled = await engine.post(filtered("/images/prune", label_not=["keep"]))

    nothing = {"ImagesDeleted": None, "SpaceReclaimed": 0}
    assert (json_of(early), json_of(labelled)) == (nothing, nothing)
    assert (two.status, json_of(two)["message"]) == (400, "more than one until filter specified")
    assert json_of(unlabelled)["SpaceReclaimed"] == len(b"nameless")


@in_trio
async def test_a_layer_that_a_container_keeps_is_not_reported_as_deleted(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        image = await engine.import_image({"file": b"one"}, "some/thing:1")
        await engine.create("user", Image="some/thing:1")
        forced = json_of(await engine.delete("/images/some/thing:1?force=1"))

    assert forced == [{"Untagged": "some/thing:1"}, {"Deleted": image}]


@in_trio
async def test_names_that_no_image_may_have_are_refused(tmp_path: Path) -> None:
    async with simulated_engine(tmp_path) as engine:
        ambiguous = await engine.post("/images/busybox/tag?repo=sha256&tag=abc")
        nothing = await engine.post("/images/create")
        badly_named = await engine.post("/images/create?fromImage=BAD")
        elsewhere = await engine.post("/images/create?fromSrc=-&platform=linux/s390x")
        no_platform = await engine.post("/images/create?fromSrc=-&platform=a/b/c/d")
        mainframe = quote(json.dumps({"os": "linux", "architecture": "s390x"}))
        other = await engine.get(f"/images/busybox/json?platform={mainframe}")

    assert json_of(ambiguous)["message"] == (
        "refusing to create an ambiguous tag using digest algorithm as name"
    )
    assert [each.status for each in (ambiguous, nothing, badly_named, no_platform)] == [400] * 4
    assert elsewhere.status == 501
    assert (other.status, json_of(other)["message"]) == (
        404,
        "image with reference busybox was found but does not provide the specified platform (linux/s390x)",
    )
