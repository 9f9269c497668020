"""Test archives of other tools: skopeo and umoci, which share no code with this engine or with
Docker's.
"""

import io
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.drivers.images.content import Content, LoadedImage
from tests.kernel.tarballs import overlay

pytestmark = [
    pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool}: not installed")
    for tool in ("skopeo", "umoci")
]


def run(*command: str | Path) -> None:
    subprocess.run([*map(str, command)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an OCI layout whose second layer changes, hides and replaces files of the first."""
    place = tmp_path_factory.mktemp("others")
    layout, bundle = place / "layout", place / "bundle"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:made")
    run("umoci", "unpack", "--image", f"{layout}:made", bundle)
    root = bundle / "rootfs"
    for name in ("etc", "gone/deep", "swapped", "linked"):
        (root / name).mkdir(parents=True)
    for name in ("etc/a", "etc/b", "gone/deep/x", "swapped/x", "linked/b"):
        (root / name).write_text("first")
    (root / "etc/link").hardlink_to(root / "etc/b")
    (root / "etc/a").chmod(0o4711)
    run("umoci", "repack", "--refresh-bundle", "--image", f"{layout}:made", bundle)
    shutil.rmtree(root / "gone")
    (root / "etc/a").unlink()
    shutil.rmtree(root / "swapped")
    (root / "swapped").write_text("second")
    (root / "etc/b").write_text("second")
    shutil.rmtree(root / "linked")
    (root / "linked").symlink_to("etc")
    run("umoci", "repack", "--image", f"{layout}:made", bundle)
    config = ("--config.cmd", "sh", "--config.env", "A=b", "--config.workingdir", "/etc")
    run("umoci", "config", "--image", f"{layout}:made", *config)
    return layout


def load(archive: Path, data_root: Path) -> tuple[Content, LoadedImage]:
    content = Content(data_root, tuple, "amd64")
    with archive.open("rb") as file:
        (image,) = content.load_archive(file)
    return content, image


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_an_image_of_another_tool_has_its_content_and_config(
    layout: Path, tmp_path: Path, form: str
) -> None:
    archive = tmp_path / "archive"
    run("skopeo", "copy", f"oci:{layout}:made", f"{form}:{archive}:example.com/made:1")

    content, image = load(archive, tmp_path / "data")

    assert image.references == ("example.com/made:1",)
    assert image.contents.config.cmd == ("sh",)
    assert image.contents.config.env[-1] == "A=b"
    assert image.contents.config.working_dir == "/etc"
    with overlay(content.lower_directories(image.contents.id), tmp_path) as merged:
        assert sorted(path.name for path in merged.iterdir()) == ["etc", "linked", "swapped"]
        assert sorted(path.name for path in (merged / "etc").iterdir()) == ["b", "link"]
        assert (merged / "etc/b").read_text() == "second"
        assert (merged / "linked/b").read_text() == "second"
        assert (merged / "swapped").read_text() == "second"


def test_both_forms_give_the_same_layers(layout: Path, tmp_path: Path) -> None:
    chains = []
    for form in ("docker-archive", "oci-archive"):
        archive = tmp_path / form
        run("skopeo", "copy", f"oci:{layout}:made", f"{form}:{archive}:example.com/made:1")
        chains.append(load(archive, tmp_path / "data")[1].contents.chain)

    assert chains[0] == chains[1]


def test_gnu_tar_and_we_agree_on_a_tree(tmp_path: Path) -> None:
    """The distribution's own files: links, modes, owners and times as ``tar -x`` makes them."""
    packed = subprocess.run(
        ["tar", "-c", "-C", "/", "etc", "-C", "/usr/share", "zoneinfo"],
        capture_output=True,
        check=False,
    ).stdout
    content = Content(tmp_path / "data", tuple, "amd64")
    image = content.import_tar(io.BytesIO(packed), at_ns=0)
    (tmp_path / "theirs").mkdir()
    subprocess.run(["tar", "-C", tmp_path / "theirs", "-xp"], input=packed, check=True)

    (ours,) = content.lower_directories(image.id)

    assert listing(ours) == listing(tmp_path / "theirs")


def listing(root: Path) -> list[str]:
    form = "%P %y %#m %U %G %T@ %l %n" + r"\n"
    found = subprocess.run(
        ["find", root, "-mindepth", "1", "-type", "d", "-printf", "%P %#m %U %G %T@\n", "-o", "-printf", form],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return sorted(found.stdout.splitlines())
