"""Test ``docker commit``, and ``docker save`` there and back: to this engine, and to other
tools.
"""

import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.api.clients import Client
from tests.api.test_copy import PHASES, SLEEP, brought_to
from tests.harness.client import Refused
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root


def commit(daemon: DaemonUnderTest, container: str, body: Any = None, **query: str) -> str:
    answer = daemon.api.post("/commit", body, container=container, **query)
    identity: str = answer.json["Id"]
    return identity


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        files = {each.name: opened.extractfile(each) for each in opened}
    return {name: file.read() for name, file in files.items() if file is not None}


def inspected(daemon: DaemonUnderTest, image: str) -> dict[str, Any]:
    found: dict[str, Any] = daemon.api.get(f"/images/{image}/json")
    return found


@pytest.mark.parametrize("phase", PHASES)
def test_a_container_of_every_phase_becomes_an_image(
    client: Client, daemon: DaemonUnderTest, phase: str, tmp_path: Path
) -> None:
    brought_to(daemon, phase)
    (tmp_path / "f").write_text("brought")
    client.ok("cp", str(tmp_path / "f"), "box:/brought")

    client.ok(
        *("commit", "-a", "Ahab", "-m", "ahoy", "-c", "ENV A=1", "-c", 'CMD ["cat", "/brought"]'),
        *("box", "made:one"),
    )

    assert client.ok("run", "--rm", "made:one") == "brought"
    made = inspected(daemon, "made:one")
    assert (made["Author"], made["Comment"]) == ("Ahab", "ahoy")
    assert "A=1" in made["Config"]["Env"]
    assert made["Parent"] == inspected(daemon, "busybox")["Id"]
    assert len(made["RootFS"]["Layers"]) == 2
    newest = daemon.api.get("/images/made:one/history")[0]
    assert (newest["CreatedBy"], newest["Comment"]) == (" ".join(SLEEP), "ahoy")
    assert daemon.api.status("box") == phase
    client.ok("rmi", "made:one")


def test_a_container_stands_still_while_it_is_committed_unless_it_is_not_to(
    daemon: DaemonUnderTest,
) -> None:
    daemon.api.run("box", *SLEEP)

    commit(daemon, "box", pause="0")
    before = daemon.api.event_types("box")
    commit(daemon, "box", comment="still")
    after = daemon.api.event_types("box")[len(before) :]

    assert "container_paused" not in before
    assert after == [
        "container_pause_requested",
        "container_paused",
        "container_unpause_requested",
        "container_unpaused",
        "container_committed",
    ]


def test_what_was_deleted_is_gone_and_mount_points_are_none_of_it(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    docker.ok("run", "--name", "first", "busybox", "sh", "-c", "mkdir /d; touch /d/a /d/b")
    docker.ok("commit", "first", "made:first")
    docker.ok("run", "--name", "second", "made:first", "sh", "-c", "rm /d/a; touch /d/c")
    docker.ok("commit", "second", "made:second")

    assert docker.ok("run", "--rm", "made:second", "ls", "/d").split() == ["b", "c"]
    manifest = json.loads(members(docker("save", "made:second").raw_out)["manifest.json"])
    layers = members(docker("save", "made:second").raw_out)
    with tarfile.open(fileobj=io.BytesIO(layers[manifest[0]["Layers"][-1]])) as layer:
        assert layer.getnames() == ["d", "d/.wh.a", "d/c"]
    docker.ok("rmi", "-f", "made:first", "made:second")


def test_nothing_changed_is_no_layer(daemon: DaemonUnderTest) -> None:
    daemon.api.create("box", *SLEEP)

    made = inspected(daemon, commit(daemon, "box"))

    assert made["RootFS"] == inspected(daemon, "busybox")["RootFS"]


def test_the_body_is_laid_over_the_containers_own_config(daemon: DaemonUnderTest) -> None:
    daemon.api.create("box", *SLEEP, Env=["B=2"], Labels={"x": "y"}, ExposedPorts={"80/tcp": {}})
    body = {
        "Cmd": ["zz"],
        "Env": ["Q=1"],
        "User": "u",
        "Labels": {"l": "m"},
        "ExposedPorts": {"9/udp": {}},
    }

    config = inspected(daemon, commit(daemon, "box", body, changes="ENV R=3"))["Config"]

    assert config["Cmd"] == ["zz"]
    assert config["Env"][:3] == ["Q=1", "R=3", "B=2"]
    assert config["User"] == "u"
    assert config["Labels"] == {"l": "m", "x": "y"}
    assert sorted(config["ExposedPorts"]) == ["80/tcp", "9/udp"]


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ({"container": "nope"}, 404, "No such container: nope"),
        ({"container": ""}, 400, 'invalid name or ID supplied: ""'),
        (
            {"repo": "BAD"},
            400,
            "invalid reference format: repository name (library/BAD) must be lowercase",
        ),
        ({"repo": "x", "tag": "b d"}, 400, "invalid tag format"),
        ({"changes": "RUN x"}, 400, "run is not a valid change command"),
        (
            {"changes": "CMD [1]"},
            400,
            "when using JSON array syntax, arrays must be comprised of strings only",
        ),
    ],
)
def test_what_cannot_be_committed_leaves_nothing(
    daemon: DaemonUnderTest, query: dict[str, str], status: int, message: str
) -> None:
    daemon.api.run("box", *SLEEP)
    images = daemon.api.get("/images/json")

    with pytest.raises(Refused) as refused:
        daemon.api.post("/commit", None, **{"container": "box", **query})

    assert (refused.value.status, refused.value.message) == (status, message)
    assert daemon.api.get("/images/json") == images
    assert daemon.api.status("box") == "running"


def test_what_is_saved_can_be_loaded(client: Client, daemon: DaemonUnderTest) -> None:
    client.ok("run", "--name", "box", "busybox", "touch", "/made")
    client.ok("commit", "box", "made:one")
    client.ok("tag", "made:one", "made:two")
    identity = inspected(daemon, "made:one")["Id"]

    archive = client("save", "made", "busybox").raw_out
    client.ok("rm", "box")
    client.ok("rmi", "made:one", "made:two")
    client.ok("load", given=archive)

    assert inspected(daemon, "made:two")["Id"] == identity
    assert sorted(inspected(daemon, "made:one")["RepoTags"]) == ["made:one", "made:two"]
    assert client.ok("run", "--rm", "made:one", "ls", "/made") == "/made"
    files = members(archive)
    layers = [name for name in files if name.startswith("blobs/")]
    assert len(layers) == len(set(layers)) == 2 + 2 + 2  # layers, configs, manifests
    assert set(json.loads(files["repositories"])["made"]) == {"one", "two"}
    assert "image_saved" in _events_of(daemon, identity)
    client.ok("rmi", "made:one", "made:two")


def _events_of(daemon: DaemonUnderTest, image: str) -> list[str]:
    lines = daemon.api.call("GET", "/shipslog/history").body.splitlines()
    entries = map(json.loads, lines)
    return [each["type"] for each in entries if image in each["stream"]]


def test_an_image_saved_by_its_id_has_no_name(docker: Client, daemon: DaemonUnderTest) -> None:
    identity = inspected(daemon, "busybox")["Id"]

    for word in (identity, identity.removeprefix("sha256:")[:12]):
        files = members(docker("save", word).raw_out)
        assert json.loads(files["manifest.json"])[0]["RepoTags"] is None
        assert "repositories" not in files


def test_save_writes_a_file(client: Client, tmp_path: Path) -> None:
    client.ok("save", "-o", str(tmp_path / "saved.tar"), "busybox:latest")

    with tarfile.open(tmp_path / "saved.tar") as archive:
        assert "oci-layout" in archive.getnames()


def test_what_is_not_there_cannot_be_saved(client: Client) -> None:
    done = client("save", "busybox", "nope")

    assert done.code == 1
    assert done.err.strip().endswith("Error response from daemon: No such image: nope:latest")


def test_other_tools_read_what_is_saved(docker: Client, tmp_path: Path) -> None:
    docker.ok("run", "--name", "box", "busybox", "sh", "-c", "rm /bin/vi; touch /made")
    docker.ok("commit", "-a", "Ahab", "box", "made:one")
    docker.ok("save", "-o", str(tmp_path / "a.tar"), "made:one")
    layout = tmp_path / "layout"
    layout.mkdir()
    with tarfile.open(tmp_path / "a.tar") as archive:
        archive.extractall(layout, filter="data")

    of_docker = output_of("skopeo", "inspect", f"docker-archive:{tmp_path / 'a.tar'}")
    of_oci = output_of("skopeo", "inspect", f"oci-archive:{tmp_path / 'a.tar'}:one")
    subprocess.run(
        ["umoci", "unpack", "--image", f"{layout}:one", str(tmp_path / "bundle")],
        check=True,
        timeout=60,
    )

    assert json.loads(of_docker)["Layers"] == json.loads(of_oci)["Layers"]
    assert (tmp_path / "bundle/rootfs/made").exists()
    assert not (tmp_path / "bundle/rootfs/bin/vi").exists()
    shutil.rmtree(tmp_path / "bundle")
    docker.ok("rmi", "-f", "made:one")


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout
