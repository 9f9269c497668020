"""Test ``docker image`` and ``docker system`` with their options, in sessions: what they leave, and
what they show.
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.clients import Client
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root


@pytest.fixture
def root_tar(docker: Client, tmp_path: Path) -> Iterator[Path]:
    """Make a container's root file system; of the images of a test, ``busybox`` alone is left."""
    docker.ok("create", "--name", "source", "busybox", "true")
    docker.ok("export", "-o", str(tmp_path / "root.tar"), "source")
    docker.ok("rm", "source")
    yield tmp_path / "root.tar"
    for name in docker.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split():
        if name != "busybox:latest":
            docker.ok("rmi", name)


def test_several_images_are_saved_into_one_archive_and_come_back_with_their_names(
    docker: Client, root_tar: Path, tmp_path: Path
) -> None:
    for tag in ("1", "2"):
        docker.ok("import", "-c", f"LABEL tag={tag}", str(root_tar), f"two:{tag}")
    before = docker.ok("images", "--no-trunc", "-q", "two")
    docker.ok("tag", "two:1", "two:again")
    archive = tmp_path / "two.tar"

    docker.ok("save", "-o", str(archive), "two:1", "two:again", "two:2")
    docker.ok("rmi", "two:1", "two:again", "two:2")
    loaded = docker.ok("load", "-q", "-i", str(archive))

    assert sorted(loaded.splitlines()) == [
        f"Loaded image: two:{tag}" for tag in ("1", "2", "again")
    ]
    assert set(docker.ok("images", "--no-trunc", "-q", "two").split()) == set(before.split())
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        tags = [tag for each in json.load(manifest) for tag in each["RepoTags"]]
    assert sorted(tags) == ["two:1", "two:2", "two:again"]


def test_the_list_of_images_is_narrowed_and_shown_as_asked(docker: Client, root_tar: Path) -> None:
    docker.ok("import", "-c", "LABEL tier=front", "-m", "why", str(root_tar), "web:1")
    docker.ok("tag", "web:1", "web:latest")

    def shown(*filters: str) -> list[str]:
        words = [word for each in filters for word in ("--filter", each)]
        return docker.ok("images", *words, "--format", "{{.Repository}}:{{.Tag}}").split()

    assert shown("reference=web:1*") == ["web:1"]
    assert shown("label=tier=front") == shown("since=busybox") == ["web:1", "web:latest"]
    assert shown("before=web:1") == ["busybox:latest"]
    assert shown("dangling=true") == []
    assert docker.ok("history", "--format", "{{.Comment}}", "web:1") == "why"
    done = docker("images", "--filter", "before=nosuch")
    assert (done.code, "No such image: nosuch" in done.err) == (1, True)


def test_a_prune_removes_untagged_images_and_with_all_every_unused_one(
    docker: Client, root_tar: Path
) -> None:
    nameless = docker.ok("import", str(root_tar))
    docker.ok("import", "-c", "LABEL keep=yes", str(root_tar), "unused:1")
    docker.ok("create", "--name", "uses", "busybox", "true")

    output = docker.ok("image", "prune", "-f")
    assert f"deleted: {nameless}" in output
    assert "unused" not in output
    output = docker.ok("image", "prune", "-a", "-f", "--filter", "label!=keep")
    assert output.startswith("Total reclaimed space: 0B")
    output = docker.ok("image", "prune", "-a", "-f")
    assert "untagged: unused:1" in output

    assert docker.ok("images", "--format", "{{.Repository}}") == "busybox"


def test_a_system_pruning_takes_containers_and_images_that_are_not_used(
    docker: Client, root_tar: Path, daemon: DaemonUnderTest
) -> None:
    docker.ok("import", str(root_tar), "unused:1")
    ended = docker.ok("create", "--label", "old", "busybox", "true")
    daemon.api.run("runs", "sleep", "1000")

    kept = docker.ok("system", "prune", "-f", "--filter", "label=other")
    output = docker.ok("system", "prune", "-a", "-f")

    assert kept == "Total reclaimed space: 0B"
    assert ended in output
    assert "untagged: unused:1" in output
    assert docker.ok("ps", "-a", "--format", "{{.Names}}") == "runs"


def test_disk_usage_counts_what_there_is(docker: Client, daemon: DaemonUnderTest) -> None:
    daemon.api.run("runs", "sh", "-c", "head -c 1000000 /dev/zero > /f; exec sleep 1000")
    docker.ok("exec", "runs", "sh", "-c", "until [ $(stat -c %s /f) = 1000000 ]; do :; done")
    docker.ok("create", "busybox", "true")

    rows = docker.ok("system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}")

    assert rows.splitlines()[1:] == [
        "Containers|2|1|1MB",
        "Local Volumes|0|0|0B",
        "Build Cache|0|0|0B",
    ]
    assert "runs" in docker.ok("system", "df", "-v")


def test_events_are_chosen_and_shaped(docker: Client, daemon: DaemonUnderTest) -> None:
    docker.ok("create", "--name", "web", "-l", "tier=front", "busybox", "true")
    docker.ok("tag", "busybox", "web:1")
    docker.ok("rmi", "web:1")
    docker.ok("rm", "web")

    def events(*filters: str) -> list[str]:
        words = [word for each in filters for word in ("--filter", each)]
        form = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}"
        return docker.ok(
            "events", "--since", "60m", "--until", "0s", *words, "--format", form
        ).splitlines()

    # the client asks for whole seconds: events of this one come with the next
    eventually(lambda: events("container=web", "event=destroy") != [], "the last event is sent")
    assert events("container=web", "event=create")[-1:] == ["container create web"]
    assert events("label=tier=front", "event=create")[-1:] == ["container create web"]
    assert events("type=image", "event=tag")[-1:] == ["image tag web:1"]
    assert events("container=nosuch") == events("type=volume") == []
    row = docker.ok(
        *("events", "--since", "60m", "--until", "0s", "--filter", "container=web"),
        *("--format", "json"),
    ).splitlines()[-1]
    assert json.loads(row)["Actor"]["Attributes"]["image"] == "busybox"
