"""Test the port ``ImageStore``: the content of images, in memory and on the disk."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from engine.domain.ids import ImageId
from engine.domain.image.config import HistoryEntry, ImageConfig, ImageContents, digest_of
from engine.domain.image.saving import NamedImage
from engine.drivers.images.content import Content
from engine.drivers.images.port import LinuxImages
from engine.drivers.lanes import Lanes
from engine.errors import DriverError, InvalidRequest
from engine.ports.content import ImageStore, Saved
from tests.fakes.images import ARCHITECTURE, FakeImages
from tests.fakes.tars import all_of, blocks_of
from tests.harness.tars import tar_of

AT_NS = 1_500_000_000_000_000_000
CREATED = "2017-07-14T02:40:00Z"
TAR = tar_of({"bin/sh": b"#!", "etc/motd": b"welcome"})
SIZE_BYTES = len(b"#!welcome")
CHANGED = tar_of({"etc/motd": b"good bye"})
NOTHING_CHANGED = bytes(1024)
"""The end of a tar without members."""
TAG = "docker.io/library/made:1"


@dataclass
class Store:
    """The port, and the images that a log would say are needed."""

    port: ImageStore
    needed: set[ImageId] = field(default_factory=set)

    async def import_tar(
        self, tar: bytes = TAR, changes: Sequence[str] = (), comment: str = ""
    ) -> ImageContents:
        """Import, and have the image needed."""
        arrived = await self.port.import_tar(
            blocks_of(tar), at_ns=AT_NS, changes=changes, comment=comment
        )
        self.needed.add(arrived.contents.id)
        return arrived.contents

    async def commit(self, parent: ImageContents, layer: bytes) -> ImageContents:
        """Commit on top of another image, and have the new one needed."""
        step = HistoryEntry(created_by="sh", author="me", comment="changed")
        config = ImageConfig(cmd=("sh",))
        arrived = await self.port.commit(
            blocks_of(layer), parent=parent.id, config=config, step=step, at_ns=AT_NS
        )
        self.needed.add(arrived.contents.id)
        return arrived.contents

    async def layers_bytes(self) -> int:
        return (await self.port.usage()).layers_bytes

    async def assert_nothing_left(self) -> None:
        assert await self.layers_bytes() == 0
        assert await self.port.collect() == 0


def _fake(_: Path) -> Store:
    store = Store(FakeImages(lambda: store.needed))
    return store


def _real(data_root: Path) -> Store:
    content = Content(data_root, lambda: store.needed, ARCHITECTURE)
    store = Store(LinuxImages(content, data_root, Lanes()))
    return store


Make = Callable[[Path], Store]


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.root)])
def make(request: pytest.FixtureRequest) -> Make:
    """Make a store in a directory."""
    if request.param == "fake":
        return _fake
    request.getfixturevalue("throwaway_namespaces")  # before there are threads that stay outside
    return _real


def on_each_store(test: Callable[[Store], Awaitable[None]]) -> Callable[[Make, Path], None]:
    """Run a test once with each store."""

    def run(make: Make, tmp_path: Path) -> None:
        trio.run(test, make(tmp_path))

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run


async def bytes_of(saved: Saved) -> bytes:
    async with aclosing(saved.blocks()) as blocks:
        return await all_of(blocks)


@on_each_store
async def test_an_import_is_one_layer_and_the_config_that_was_asked_for(store: Store) -> None:
    contents = await store.import_tar(changes=("CMD sleep 1", "ENV a=b"), comment="by hand")

    (layer,) = contents.layers
    assert {layer.diff_id, layer.chain_id, layer.blob} == {digest_of(TAR)}
    assert (layer.blob_bytes, layer.size_bytes) == (len(TAR), SIZE_BYTES)
    assert contents.config == ImageConfig(cmd=("/bin/sh", "-c", "sleep 1"), env=("a=b",))
    assert contents.history == (HistoryEntry(created=CREATED, comment="by hand"),)
    assert (contents.created, contents.os) == (CREATED, "linux")
    assert contents.architecture == ARCHITECTURE


@on_each_store
async def test_the_same_import_is_the_same_image_and_lies_there_once(store: Store) -> None:
    one, again = await store.import_tar(), await store.import_tar()
    other = await store.import_tar(changes=("CMD other",))

    assert one == again
    assert other.id != one.id
    assert await store.layers_bytes() == SIZE_BYTES


@pytest.mark.parametrize("damage", [b"damaged", TAR[:513]], ids=["no tar", "cut off"])
def test_a_damaged_tar_leaves_nothing(make: Make, damage: bytes, tmp_path: Path) -> None:
    async def scenario() -> None:
        store = make(tmp_path)
        with pytest.raises(InvalidRequest, match="invalid tar archive: unexpected EOF"):
            await store.import_tar(damage)
        with pytest.raises(InvalidRequest, match="invalid tar archive: unexpected EOF"):
            await store.port.load_archive(blocks_of(damage))
        await store.assert_nothing_left()

    trio.run(scenario)


@on_each_store
async def test_a_change_that_can_not_be_is_refused_before_the_upload(store: Store) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    with pytest.raises(InvalidRequest):
        await store.port.import_tar(body(), at_ns=AT_NS, changes=("FLY away",), comment="")
    await store.assert_nothing_left()


@on_each_store
async def test_a_commit_is_one_layer_more(store: Store) -> None:
    parent = await store.import_tar(comment="base")

    child = await store.commit(parent, CHANGED)

    assert child.layers[:-1] == parent.layers
    assert child.layers[-1].blob == digest_of(CHANGED)
    assert child.config == ImageConfig(cmd=("sh",))
    assert child.history == (
        *parent.history,
        HistoryEntry(created=CREATED, created_by="sh", author="me", comment="changed"),
    )
    assert (child.author, child.comment, child.created) == ("me", "changed", CREATED)
    assert child.architecture == parent.architecture


@on_each_store
async def test_a_commit_of_nothing_is_an_empty_step(store: Store) -> None:
    parent = await store.import_tar()

    child = await store.commit(parent, NOTHING_CHANGED)

    assert child.layers == parent.layers
    assert child.history[-1].empty_layer


def test_what_was_saved_is_loaded_as_the_same_images(make: Make, tmp_path: Path) -> None:
    async def scenario() -> None:
        one, other = make(tmp_path / "one"), make(tmp_path / "other")
        base = await one.import_tar(changes=("CMD a",))
        child = await one.commit(base, CHANGED)
        named = (NamedImage(base.id), NamedImage(child.id, (TAG,)))
        archive = await bytes_of(await one.port.save(named))

        loaded = await other.port.load_archive(blocks_of(archive))

        assert [each.contents for each in loaded] == [base, child]
        assert [each.references for each in loaded] == [(), (TAG,)]
        assert await other.layers_bytes() == await one.layers_bytes()

    trio.run(scenario)


@on_each_store
async def test_a_tar_that_holds_no_image_leaves_nothing(store: Store) -> None:
    with pytest.raises(InvalidRequest, match=r"neither a manifest\.json nor an index\.json"):
        await store.port.load_archive(blocks_of(TAR))

    await store.assert_nothing_left()


@on_each_store
async def test_what_nobody_needs_is_collected_once_it_was_released(store: Store) -> None:
    contents = await store.import_tar()
    await store.import_tar()
    store.needed.clear()

    assert await store.port.collect() == 0, "it has arrived twice"
    store.port.release(contents.id)
    assert await store.port.collect() == 0, "and was released once"
    store.port.release(contents.id)
    won = await store.port.collect()

    assert won == contents.config_bytes + len(TAR) + SIZE_BYTES
    await store.assert_nothing_left()


@on_each_store
async def test_layers_of_needed_images_stay(store: Store) -> None:
    parent = await store.import_tar()
    child = await store.commit(parent, CHANGED)
    store.port.release(parent.id)
    store.port.release(child.id)

    store.needed.remove(child.id)
    won = await store.port.collect()

    top = child.layers[-1]
    assert won == child.config_bytes + top.blob_bytes + top.size_bytes
    assert await store.layers_bytes() == SIZE_BYTES
    assert await store.commit(parent, CHANGED) == child


@on_each_store
async def test_what_an_archive_holds_stays_until_it_is_closed(store: Store) -> None:
    contents = await store.import_tar()
    saved = await store.port.save((NamedImage(contents.id, (TAG,)),))
    store.port.release(contents.id)
    store.needed.clear()

    assert await store.port.collect() == 0
    archive = await bytes_of(saved)
    saved.close()
    saved.close()
    assert await store.port.collect() > 0

    (loaded,) = await store.port.load_archive(blocks_of(archive))
    assert loaded.contents == contents


@on_each_store
async def test_an_image_that_is_not_there_can_not_be_saved(store: Store) -> None:
    with pytest.raises(DriverError):
        await store.port.save((NamedImage(ImageId("sha256:" + "0" * 64)),))
