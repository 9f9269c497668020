"""Test images: they are stored completely or not at all, are what Docker would make of them, and
are deleted when not needed.
"""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from engine.domain.ids import Digest, ImageId
from engine.domain.image.config import ImageContents, chain_ids
from engine.drivers.images.content import Content
from engine.errors import DriverError, EngineError, InvalidRequest, Unavailable
from engine.failpoints import VARIABLE
from engine.runtime import linux
from tests.kernel import tarballs
from tests.kernel.tarballs import directory, docker_archive, files, member, overlay, tar

OTHER = "sha256:" + "f" * 64
AT_NS = 1_795_460_873_569_914_252


class ContentUnderTest:
    """A content store, with the images that the log would need."""

    def __init__(self, data_root: Path) -> None:
        self.data_root = data_root
        self.needed: set[ImageId] = set()
        self.content = Content(data_root, lambda: self.needed, "amd64")

    def import_tar(self, archive: bytes, *changes: str) -> ImageContents:
        contents = self.content.import_tar(io.BytesIO(archive), at_ns=AT_NS, changes=changes)
        return self._noted(contents)

    def load(self, archive: bytes) -> list[ImageContents]:
        loaded = self.content.load_archive(io.BytesIO(archive))
        return [self._noted(image.contents) for image in loaded]

    def forget(self, contents: ImageContents) -> None:
        self.needed.remove(contents.id)
        self.content.collect()

    def left_behind(self) -> list[str]:
        """Return every file and directory, without the store's own empty ones."""
        return sorted(
            str(path.relative_to(self.data_root))
            for path in self.data_root.rglob("*")
            if path.is_file() or path.parent.name in ("layers", "incoming", "trash")
        )

    def _noted(self, contents: ImageContents) -> ImageContents:
        self.needed.add(contents.id)
        self.content.release(contents.id)
        return contents


@pytest.fixture
def store(tmp_path: Path) -> ContentUnderTest:
    return ContentUnderTest(tmp_path / "data")


def diff_id(layer: bytes) -> str:
    return "sha256:" + hashlib.sha256(layer).hexdigest()


def stacked(*layers: bytes) -> bytes:
    return docker_archive(layers, list(map(diff_id, layers)))


def seen(merged: Path) -> dict[str, str]:
    return {
        str(path.relative_to(merged)): path.read_text() if path.is_file() else ""
        for path in merged.rglob("*")
    }


# --- import ---


def test_an_import_is_an_image_of_one_layer(store: ContentUnderTest) -> None:
    archive = files(greeting="hello")

    contents = store.import_tar(archive, 'CMD ["sh"]')

    assert contents.config.cmd == ("sh",)
    assert contents.created == "2026-11-23T19:07:53.569914252Z"
    assert contents.size_bytes == len("hello")
    assert [layer.diff_id for layer in contents.layers] == [diff_id(archive)]
    (lower,) = store.content.lower_directories(contents.id)
    assert (lower / "greeting").read_text() == "hello"


@pytest.mark.parametrize(
    "pack",
    [gzip.compress, bz2.compress, lzma.compress, zstandard.compress,
     lambda plain: gzip.compress(plain[:700]) + gzip.compress(plain[700:])],
    ids=["gzip", "bzip2", "xz", "zstd", "gzip in two parts"],
)  # fmt: skip
def test_compression_changes_nothing_but_the_blob(
    store: ContentUnderTest, pack: Callable[[bytes], bytes]
) -> None:
    archive = files(greeting="hello")
    blob = pack(archive)  # once: gzip records the time

    packed = store.import_tar(blob)

    assert packed.layers[0].diff_id == diff_id(archive)
    assert packed.layers[0].blob == diff_id(blob)
    assert store.import_tar(archive).id == packed.id


def test_the_same_import_twice_is_one_image(store: ContentUnderTest) -> None:
    once = store.import_tar(files(greeting="hello"))
    before = store.left_behind()

    assert store.import_tar(files(greeting="hello")) == once
    assert store.left_behind() == before


def test_uploads_may_arrive_in_dribs_and_drabs(store: ContentUnderTest) -> None:
    archive = files(greeting="hello")

    class Dribble(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 1, 7))

    contents = store.content.import_tar(Dribble(archive), at_ns=AT_NS)

    assert contents.layers[0].diff_id == diff_id(archive)


@pytest.mark.parametrize(
    ("archive", "changes"),
    [
        (files(a="x" * 5000)[:600], []),
        (tar(member("ok", b"x" * 5000), member("../evil", b"x")), []),
        (tar(directory("a"), member("a/b" * 100, b"x"), member("h", kind=b"1", link="no")), []),
        (gzip.compress(files(a="x" * 9999))[:-20], []),
        (bz2.compress(files(a="x" * 9999))[:-20], []),
        (lzma.compress(files(a="x" * 9999))[:40] + b"noise" * 30, []),
        (zstandard.compress(files(a="x" * 9999))[:30] + b"noise" * 30, []),
        (b"this is no tar at all" * 100, []),
        (files(a="x"), ["NONSENSE"]),
    ],
)
def test_a_bad_import_leaves_nothing(
    store: ContentUnderTest, archive: bytes, changes: list[str]
) -> None:
    with pytest.raises(InvalidRequest):
        store.import_tar(archive, *changes)

    assert store.left_behind() == []


def test_an_upload_that_breaks_off_leaves_nothing(store: ContentUnderTest) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.content.import_tar(Broken(), at_ns=AT_NS)

    assert store.left_behind() == []


def test_a_failed_import_takes_nothing_that_others_need(store: ContentUnderTest) -> None:
    hello = files(greeting="hello")
    kept = store.import_tar(hello)
    before = store.left_behind()

    with pytest.raises(InvalidRequest):
        store.load(docker_archive([hello, b"x" * 600], [diff_id(hello)] * 2))

    assert store.left_behind() == before
    assert store.content.lower_directories(kept.id)


# --- layers over layers ---


def test_layers_stand_on_each_other_as_overlay_sees_them(
    store: ContentUnderTest, tmp_path: Path
) -> None:
    (contents,) = store.load(
        stacked(
            files(
                **{"etc/a": "1", "etc/b": "1", "gone/x": "1", "opaque/old": "1", "both/old": "1"}
            ),
            tar(
                member("etc/.wh.a"),
                member(".wh.gone"),
                member("opaque/.wh..wh..opq"),
                member("opaque/new", b"2"),
                member(".wh..wh.plnk"),
                member("both/new", b"2"),
                member(".wh.both"),
                member(".wh.never"),
            ),
            tar(member("gone", b"3"), member("etc/c", b"3")),
        )
    )

    with overlay(store.content.lower_directories(contents.id), tmp_path) as merged:
        assert seen(merged) == {
            "etc": "",
            "etc/b": "1",
            "etc/c": "3",
            "opaque": "",
            "opaque/new": "2",
            "both": "",
            "both/new": "2",
            "gone": "3",
        }


def test_a_directory_over_a_whiteout_of_its_own_layer_shows_nothing_old(
    store: ContentUnderTest, tmp_path: Path
) -> None:
    (contents,) = store.load(
        stacked(
            files(**{"d/old": "1", "f": "1"}),
            tar(member(".wh.d"), member("d/new", b"2"), member(".wh.f"), member("f", b"2")),
        )
    )

    with overlay(store.content.lower_directories(contents.id), tmp_path) as merged:
        assert seen(merged) == {"d": "", "d/new": "2", "f": "2"}


def test_a_layer_without_an_entry_for_its_root_keeps_the_attributes_below(
    store: ContentUnderTest,
) -> None:
    root = member("./", kind=tarballs.DIRECTORY, mode=0o1750, owner=(5, 6))

    (contents,) = store.load(stacked(tar(root), files(x="y")))

    top = store.content.lower_directories(contents.id)[0].stat()
    assert (top.st_mode & 0o7777, top.st_uid, top.st_gid) == (0o1750, 5, 6)


def test_a_hard_link_to_a_file_of_a_lower_layer_is_refused_as_docker_does(
    store: ContentUnderTest,
) -> None:
    with pytest.raises(InvalidRequest, match="No such file"):
        store.load(stacked(files(f="1"), tar(member("h", kind=tarballs.HARD_LINK, link="f"))))

    assert store.left_behind() == []


def test_a_layer_is_unpacked_once_for_all_images(store: ContentUnderTest) -> None:
    base, one, two = files(base="b"), files(one="1"), files(two="2")
    (first,) = store.load(stacked(base, one))
    (second,) = store.load(stacked(base, two))

    assert len(list((store.data_root / "layers").glob("*.json"))) == 3
    assert (
        store.content.lower_directories(first.id)[1:]
        == (store.content.lower_directories(second.id)[1:])
    )


def test_an_image_without_layers_stands_on_an_empty_directory(store: ContentUnderTest) -> None:
    (contents,) = store.load(stacked())

    (lower,) = store.content.lower_directories(contents.id)
    assert list(lower.iterdir()) == []


# --- archives ---


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (files(x="y"), "neither a manifest.json nor an index.json"),
        (b"", "neither a manifest.json nor an index.json"),
        (files(**{"manifest.json": "{"}), "manifest.json: "),
        (files(**{"manifest.json": "[]"}), "no image for this machine"),
        (files(**{"manifest.json": '[{"Config":"c","Layers":[]}]'}), "it has no c"),
        (files(**{"manifest.json": '[{"Config":"c","Layers":[]}]', "c": "{}"}), "invalid image config"),
        (files(**{"manifest.json": '[{"Config":"../../etc/passwd"}]'}), "it has no ../../etc/passwd"),
        (docker_archive([files(a="1")], []), "layers length mismatch: expected 0, got 1"),
        (docker_archive([files(a="1")], [OTHER]), "invalid diffID for layer"),
        (docker_archive([files(a="1")], [diff_id(files(a="1"))], ["Not:Valid"]), "must be lowercase"),
        (tar(member("manifest.json", kind=tarballs.SYMLINK, link="manifest.json")), "it has no manifest.json"),
        (stacked(files(a="1"))[:3000], "unexpected EOF"),
    ],
)  # fmt: skip
def test_a_bad_archive_leaves_nothing(
    store: ContentUnderTest, archive: bytes, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        store.load(archive)

    assert store.left_behind() == []


def test_of_an_archive_all_images_come_or_none(store: ContentUnderTest) -> None:
    good, config = files(a="1"), '{"rootfs":{"type":"layers","diff_ids":["%s"]}}'
    manifest = '[{"Config":"1","Layers":["l"]},{"Config":"2","Layers":["l"]}]'
    archive = files(
        **{
            "manifest.json": manifest,
            "l": good.decode(),
            "1": config % diff_id(good),
            "2": config % (OTHER),
        }
    )

    with pytest.raises(InvalidRequest, match="invalid diffID"):
        store.load(archive)

    assert store.left_behind() == []


def test_the_archive_itself_may_be_compressed(store: ContentUnderTest) -> None:
    (contents,) = store.load(gzip.compress(stacked(files(a="1"))))

    assert contents.size_bytes == 1


def test_an_oci_layout_is_read_for_this_machine(store: ContentUnderTest) -> None:
    loaded = store.content.load_archive(io.BytesIO(oci_archive("amd64", "arm64")))

    (image,) = loaded
    assert image.references == ("docker.io/library/oci:1",)
    assert image.contents.architecture == "amd64"
    assert image.contents.layers[0].blob_bytes < 1000


def test_a_damaged_blob_of_an_oci_layout_is_noticed(store: ContentUnderTest) -> None:
    archive = oci_archive("amd64").replace(b'"schemaVersion": 2', b'"schemaVersion": 3')

    with pytest.raises(InvalidRequest, match="is damaged"):
        store.load(archive)


def oci_archive(*architectures: str) -> bytes:
    """Build an archive as Docker with containerd's store does: an index of an index, layers
    compressed.
    """
    blobs: dict[str, bytes] = {}

    def stored(content: bytes | dict[str, object], **more: object) -> dict[str, object]:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        blobs[f"blobs/{diff_id(raw).replace(':', '/')}"] = raw
        return {"digest": diff_id(raw), "size": len(raw), **more}

    manifests = []
    for architecture in architectures:
        layer = files(arch=architecture)
        config: dict[str, object] = {
            "architecture": architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [diff_id(layer)]},
        }
        layers = [stored(gzip.compress(layer))]
        manifest: dict[str, object] = {
            "schemaVersion": 2,
            "config": stored(config),
            "layers": layers,
        }
        platform = {"architecture": architecture, "os": "linux"}
        manifests.append(stored(manifest, platform=platform))
    nested = stored(
        {"manifests": manifests},
        mediaType="application/vnd.oci.image.index.v1+json",
        annotations={
            "io.containerd.image.name": "docker.io/library/oci:1",
            "org.opencontainers.image.ref.name": "1",
        },
    )
    index = json.dumps({"schemaVersion": 3, "manifests": [nested]}).encode()
    return tar(
        *(member(name, content) for name, content in blobs.items()), member("index.json", index)
    )


# --- deleting ---


def test_what_no_image_needs_goes_and_the_rest_stays(store: ContentUnderTest) -> None:
    base, one, two = files(base="b"), files(one="1"), files(two="2")
    (first,) = store.load(stacked(base, one))
    (second,) = store.load(stacked(base, two))

    store.forget(first)

    assert set(store.content.disk_usage().layers) == set(
        chain_ids(tuple(layer.diff_id for layer in second.layers))
    )
    assert all(path.is_dir() for path in store.content.lower_directories(second.id))
    store.forget(second)
    assert store.left_behind() == []


def test_what_an_upload_has_brought_stays_until_it_is_released(store: ContentUnderTest) -> None:
    contents = store.content.import_tar(io.BytesIO(files(a="1")), at_ns=AT_NS)

    assert store.content.collect().size_bytes == 0
    assert store.content.lower_directories(contents.id)[0].is_dir()

    store.content.release(contents.id)
    assert list(store.content.collect().layers) == [contents.chain[0]]
    assert store.left_behind() == []


def test_uploads_and_collections_at_once_lose_nothing(store: ContentUnderTest) -> None:
    """The same layers are uploaded several times at once, while a collector deletes whatever is not
    pinned.
    """
    archive = stacked(files(base="b"), files(**{f"f{n}": str(n) for n in range(50)}))
    stop = threading.Event()
    problems: list[BaseException] = []

    def collect() -> None:
        while not stop.is_set():
            store.content.collect()

    def load() -> None:
        try:
            for _ in range(5):
                (image,) = store.content.load_archive(io.BytesIO(archive))
                lower = store.content.lower_directories(image.contents.id)
                assert len(list(lower[0].iterdir())) == 50
                store.content.release(image.contents.id)
        except BaseException as problem:
            problems.append(problem)

    collector = threading.Thread(target=collect)
    loaders = [threading.Thread(target=load) for _ in range(3)]
    for thread in (collector, *loaders):
        thread.start()
    for thread in loaders:
        thread.join()
    stop.set()
    collector.join()

    store.content.collect()
    assert problems == []
    assert store.left_behind() == []


def test_nothing_is_collected_while_a_needed_image_cannot_be_read(store: ContentUnderTest) -> None:
    """Its layers are unknown, so any layer may be one of them."""
    contents = store.import_tar(files(a="1"))
    other = store.import_tar(files(b="2"))
    digits = contents.id.removeprefix("sha256:")
    (store.data_root / "content/blobs/sha256" / digits).write_text("damaged")
    store.needed.remove(other.id)

    with pytest.raises(DriverError, match="damaged"):
        store.content.collect()
    assert len(store.content.disk_usage().layers) == 2


@pytest.mark.parametrize("point", ["blob_synced", "layer_unpacked", "layer_named"])
@pytest.mark.parametrize("action", ["die", "fail"])
def test_dying_or_failing_anywhere_leaves_nothing_after_a_sweep(
    store: ContentUnderTest, tmp_path: Path, point: str, action: str
) -> None:
    (tmp_path / "archive").write_bytes(stacked(files(a="1"), files(b="2")))
    script = (
        "import sys; from pathlib import Path; from engine.drivers.images.content import Content;"
        "Content(Path(sys.argv[1]), tuple, 'amd64').load_archive(open(sys.argv[2], 'rb'))"
    )
    command = [sys.executable, "-c", script, str(store.data_root), str(tmp_path / "archive")]
    environment = {**os.environ, VARIABLE: f"{point}={action}@2"}

    died = subprocess.run(command, env=environment, capture_output=True, check=False)

    assert died.returncode == (-9 if action == "die" else 1), died.stderr
    store.content.sweep()
    store.content.collect()
    assert store.left_behind() == []
    (contents,) = store.load((tmp_path / "archive").read_bytes())
    assert contents.size_bytes == 2


def test_a_full_disk_is_reported_and_leaves_no_files(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    linux.mount("tmpfs", str(tmp_path / "small"), "tmpfs", data="size=1m")
    try:
        store = ContentUnderTest(tmp_path / "small" / "data")
        kept = store.import_tar(files(a="1"))
        before = store.left_behind()

        with pytest.raises(Unavailable, match="No space left on device"):
            store.import_tar(tar(member("big", bytes(700_000))))

        assert store.left_behind() == before
        assert store.content.lower_directories(kept.id)[0].is_dir()
    finally:
        linux.umount2(str(tmp_path / "small"))


def test_a_layer_directory_of_another_layer_is_never_taken_for_it(store: ContentUnderTest) -> None:
    contents = store.import_tar(files(a="1"))
    (record,) = (store.data_root / "layers").glob("*.json")
    record.write_text(
        record.read_text().replace(f'chain_id":"{contents.chain[0]}', f'chain_id":"{OTHER}')
    )

    with pytest.raises(EngineError):
        store.import_tar(files(a="1"))


def test_a_missing_image_is_an_error_that_names_it(store: ContentUnderTest) -> None:
    image = ImageId("sha256:" + "e" * 64)

    with pytest.raises(DriverError, match=Digest(image)):
        store.content.lower_directories(image)


def test_trees_deeper_than_path_max_are_deleted(store: ContentUnderTest) -> None:
    """Deeper than a path may be long, through a symlink."""
    deep = "/".join(["d"] * 1500)
    contents = store.import_tar(
        tar(member("l", kind=tarballs.SYMLINK, link=deep), directory(deep), directory("l/" + deep))
    )

    store.forget(contents)

    assert store.left_behind() == []
