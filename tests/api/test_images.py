"""Test images: imported, named, used, removed, and refused when they are damaged; with both
commands.
"""

import io
import json
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from engine.cli import builtin_image
from tests.api.clients import Client
from tests.harness.daemon import DaemonUnderTest
from tests.harness.tars import tar_of

pytestmark = pytest.mark.root


def saved(reference: str, layer: bytes, **config: object) -> bytes:
    """Build what ``docker save`` writes of an image with one layer."""
    diff = f"sha256:{sha256(layer).hexdigest()}"
    whole = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [diff]},
        "history": [{"created_by": "a test"}],
    }
    text = json.dumps(whole)
    name = f"{sha256(text.encode()).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [reference], "Layers": ["one/layer.tar"]}]
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path, content in (
            (name, text.encode()),
            ("one/layer.tar", layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def busybox_tar(tmp_path: Path) -> Path:
    path = tmp_path / "busybox.tar"
    path.write_bytes(builtin_image.busybox_tar())
    return path


@pytest.fixture(autouse=True)
def only_busybox(daemon: DaemonUnderTest) -> None:
    """Leave only one image: all tests of the module share them."""
    for image in daemon.api.get("/images/json"):
        for tag in image["RepoTags"] or [image["Id"]]:
            if tag != "busybox:latest":
                daemon.api.call("DELETE", f"/images/{tag}", force=1)


def listed(client: Client, *options: str) -> list[str]:
    return client.ok("images", "--format", "{{.Repository}}:{{.Tag}}", *options).split()


def test_a_root_filesystem_is_imported_from_a_file_or_from_the_input(
    client: Client, busybox_tar: Path
) -> None:
    one = client.ok("import", str(busybox_tar), "from:file")
    client.ok("import", "-", "from:input", given=busybox_tar.read_bytes())

    assert one.startswith("sha256:")
    assert {"from:file", "from:input"} <= set(listed(client))
    assert client.ok("run", "--rm", "from:input", "echo", "it runs") == "it runs"


def test_an_import_may_change_the_configuration(client: Client, busybox_tar: Path) -> None:
    changes = ("-c", 'CMD ["sh", "-c", "echo $A $(pwd)"]', "-c", "ENV A=b", "-c", "WORKDIR /tmp")

    client.ok("import", *changes, "-m", "with changes", str(busybox_tar), "changed")

    assert client.ok("run", "--rm", "changed") == "b /tmp"
    assert (
        client.ok("image", "inspect", "-f", "{{.Comment}} {{.Config.Env}}", "changed")
        == "with changes [A=b]"
    )


def test_a_saved_image_is_loaded_with_its_name_and_configuration(
    client: Client, busybox_tar: Path, tmp_path: Path
) -> None:
    archive = saved(
        "boxes/loaded:2", busybox_tar.read_bytes(), Cmd=["echo", "loaded"], Labels={"a": "b"}
    )
    path = tmp_path / "saved.tar"
    path.write_bytes(archive)

    assert client.ok("load", "-i", str(path)) == "Loaded image: boxes/loaded:2"
    assert client.ok("load", "-q", given=archive) == "Loaded image: boxes/loaded:2"

    assert client.ok("run", "--rm", "boxes/loaded:2") == "loaded"
    assert client.ok("inspect", "-f", "{{json .Config.Labels}}", "boxes/loaded:2") == '{"a":"b"}'


def test_the_list_has_dockers_columns_and_filters(client: Client) -> None:
    client.ok("tag", "busybox", "other/name:3")

    header, *rows = client.ok("images").splitlines()
    assert header.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert {tuple(row.split()[:2]) for row in rows} == {("busybox", "latest"), ("other/name", "3")}
    assert len({row.split()[2] for row in rows}) == 1
    assert listed(client, "other/name") == ["other/name:3"]
    assert listed(client, "-f", "reference=busy*") == ["busybox:latest"]
    assert len(client.ok("images", "-q", "--no-trunc", "busybox")) == 71


def test_a_tag_is_removed_before_its_image(client: Client) -> None:
    client.ok("tag", "busybox", "one:1")
    assert client.ok("rmi", "one:1") == "Untagged: one:1"

    assert listed(client) == ["busybox:latest"]


def test_an_image_in_use_stays(client: Client, busybox_tar: Path) -> None:
    client.ok("import", str(busybox_tar), "used:1")
    client.ok("create", "--name", "user", "used:1", "true")

    done = client("rmi", "used:1")
    assert done.code == 1
    assert (
        'conflict: unable to remove repository reference "used:1" (must force) - container '
        in done.err
    )

    client.ok("rm", "user")
    out = client.ok("rmi", "used:1").splitlines()
    assert out[0] == "Untagged: used:1"
    assert out[1].startswith("Deleted: sha256:")


@pytest.mark.parametrize(
    "given", [b"garbage", b"\x1f\x8bgarbage", tar_of({"a": b"b" * 2000})[:1000]]
)
def test_a_damaged_tar_is_refused_and_leaves_nothing(given: bytes, client: Client) -> None:
    imported = client("import", "-", "bad:1", given=given)
    loaded = client("load", given=given)

    assert (imported.code, loaded.code) == (1, 1)
    assert "Error" in imported.err or "invalid" in imported.err
    assert loaded.err
    assert listed(client) == ["busybox:latest"]


def test_a_tar_that_is_no_archive_of_images_is_refused(client: Client) -> None:
    done = client("load", given=tar_of({"a": b"b"}))

    assert done.code == 1
    assert listed(client) == ["busybox:latest"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rmi", "nosuch"], "No such image: nosuch:latest"),
        (["tag", "nosuch", "x"], "No such image: nosuch:latest"),
        (["tag", "busybox", "BAD"], "repository name (library/BAD) must be lowercase"),
        (["import", "/nonexistent"], "open /nonexistent: no such file or directory"),
        (["load", "-i", "/nonexistent"], "open /nonexistent: no such file or directory"),
        (["image", "inspect", "nosuch"], "No such image: nosuch"),
        (["run", "--rm", "--pull", "never", "nosuch:1", "true"], "No such image: nosuch:1"),
        (["run", "--rm", "NOPE", "true"], "repository name (library/NOPE) must be lowercase"),
    ],
)
def test_what_is_not_there_is_named(words: list[str], message: str, client: Client) -> None:
    done = client(*words)

    assert done.code in (1, 125)
    assert message in done.err


def test_an_image_that_would_have_to_be_pulled_is_refused(client: Client) -> None:
    done = client("run", "--rm", "nosuch:1", "true")

    assert done.code == 125
    assert "Unable to find image 'nosuch:1' locally" in done.err
    assert "pulling images is not supported yet" in done.err
