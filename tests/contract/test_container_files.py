"""Test the port ``ContainerFiles``: files of simulated and of real containers."""

import stat
from collections.abc import Mapping
from contextlib import aclosing, closing
from typing import Any

import pytest
import trio
import trio.testing

from engine.domain.ids import ContainerId
from engine.errors import InvalidRequest
from engine.ports import actions as do
from engine.ports.files import (
    ChangeKind,
    NoSuchPath,
    PathChange,
    ProcessGone,
    Reading,
    ReadOnlyPlace,
    UnpackOptions,
)
from tests.contract.kernels import MachineUnderTest, on_each_kernel
from tests.fakes.files import (
    DIRECTORY,
    IMAGE,
    Node,
    Tree,
    as_copied,
    file,
    link,
    nodes_of,
    tar_of_nodes,
)
from tests.fakes.tars import all_of, blocks_of

PLAIN = UnpackOptions()
NEW = file(b"hello world")


async def created(machine: MachineUnderTest, **fields: Any) -> ContainerId:
    """A container whose image holds ``IMAGE``."""
    return await machine.create(image_id=machine.image_of_files(), **fields)


async def read(reading: Reading) -> Tree:
    """What is in a tar; it is closed, twice."""
    async with aclosing(reading.blocks()) as blocks:
        tar = await all_of(blocks)
    reading.close()
    reading.close()
    return nodes_of(tar)


async def unpack(
    machine: MachineUnderTest,
    identity: ContainerId,
    path: str,
    nodes: Mapping[str, Node],
    options: UnpackOptions = PLAIN,
) -> None:
    upload = await machine.files.receive(blocks_of(tar_of_nodes(nodes)))
    with closing(upload), closing(upload):  # twice does no harm
        container = machine.container(identity)
        async with machine.files.destination(container, path, lambda: None) as destination:
            await destination.unpack(upload, options)


COPIED = {path.lstrip("/"): as_copied(node) for path, node in IMAGE.items() if path != "/"}


@on_each_kernel
async def test_a_path_is_looked_at_without_following_it(machine: MachineUnderTest) -> None:
    container = machine.container(await created(machine))

    found = {path: await machine.files.stat(container, path) for path in ("/f", "l", "/d", "/")}

    for path, name in {"/f": "f", "l": "l", "/d": "d", "/": "/"}.items():
        node = IMAGE[f"/{path.lstrip('/')}"]
        assert (found[path].name, found[path].mode) == (name, node.mode)
    assert (found["/f"].size_bytes, found["l"].size_bytes) == (len("hello"), len("/f"))
    assert found["/f"].mtime_ns == IMAGE["/f"].mtime_ns
    assert [each.link_target for each in found.values()] == ["", "/f", "", ""]


@on_each_kernel
async def test_a_path_is_absolute_and_leads_through_directories(machine: MachineUnderTest) -> None:
    container = machine.container(await created(machine))

    for path in ("/d/in", "d/in", "/to-d/in", "/d/../d/./in", "/../d/in"):
        assert (await machine.files.stat(container, path)).name == "in", path


@on_each_kernel
async def test_a_path_that_is_not_there_is_told(machine: MachineUnderTest) -> None:
    container = machine.container(await created(machine))

    for path in ("/no", "/d/no", "/no/no"):
        with pytest.raises(NoSuchPath):
            await machine.files.stat(container, path)
        with pytest.raises(NoSuchPath):
            await machine.files.read(container, path)
        with pytest.raises(NoSuchPath):
            await machine.files.check_destination(container, path)


@on_each_kernel
async def test_a_file_is_no_directory(machine: MachineUnderTest) -> None:
    container = machine.container(await created(machine))

    with pytest.raises(InvalidRequest, match="lstat /f/x: not a directory"):
        await machine.files.stat(container, "/f/x")
    with pytest.raises(InvalidRequest, match="extraction point is not a directory"):
        await machine.files.check_destination(container, "/f")


@on_each_kernel
async def test_a_copy_is_a_tar_of_what_was_asked_for(machine: MachineUnderTest) -> None:
    container = machine.container(await created(machine))

    copied = {
        path: await read(await machine.files.read(container, path)) for path in ("/f", "/l", "/d")
    }

    assert copied == {
        "/f": {"f": COPIED["f"]},
        "/l": {"l": COPIED["l"]},
        "/d": {"d": COPIED["d"], "d/in": COPIED["d/in"]},
    }


@on_each_kernel
async def test_an_export_holds_everything(machine: MachineUnderTest) -> None:
    container = machine.container(await created(machine))

    exported = await read(await machine.files.export(container))

    assert exported.items() >= COPIED.items()


@on_each_kernel
async def test_of_a_container_that_wrote_nothing_nothing_has_changed(
    machine: MachineUnderTest,
) -> None:
    container = machine.container(await created(machine))

    assert await machine.files.changes(container) == ()
    assert await machine.files.size_bytes(container.id) == 0
    assert await read(await machine.files.layer(container)) == {}


@on_each_kernel
async def test_what_is_unpacked_is_there(machine: MachineUnderTest) -> None:
    identity = await created(machine)
    asked = {"new": NEW, "sub": DIRECTORY, "sub/link": link("../new")}

    await unpack(machine, identity, "/to-d", asked)

    container = machine.container(identity)
    copied = await read(await machine.files.read(container, "/d"))
    assert copied.items() >= {f"d/{name}": node for name, node in asked.items()}.items()
    assert copied["d/in"] == COPIED["d/in"], "it stays"


@on_each_kernel
async def test_what_was_unpacked_is_what_has_changed(machine: MachineUnderTest) -> None:
    identity = await created(machine)

    await unpack(machine, identity, "/", {"d/new": NEW, "f": file(b"other")})

    container = machine.container(identity)
    assert await machine.files.changes(container) == (
        PathChange("/d", ChangeKind.MODIFIED),
        PathChange("/d/new", ChangeKind.ADDED),
        PathChange("/f", ChangeKind.MODIFIED),
    )
    assert await machine.files.size_bytes(identity) == len(b"hello world" + b"other")
    layer = await read(await machine.files.layer(container))
    files = {name: node for name, node in layer.items() if stat.S_ISREG(node.mode)}
    assert files == {"d/new": NEW, "f": file(b"other")}


@on_each_kernel
async def test_containers_do_not_share_what_they_change(machine: MachineUnderTest) -> None:
    one, other = await created(machine), await created(machine)

    await unpack(machine, one, "/", {"new": NEW})

    with pytest.raises(NoSuchPath):
        await machine.files.stat(machine.container(other), "/new")


@on_each_kernel
async def test_everything_belongs_to_one_owner_if_that_is_asked(machine: MachineUnderTest) -> None:
    identity = await created(machine)

    await unpack(machine, identity, "/d", {"new": NEW}, UnpackOptions(owner="1000:2000"))

    copied = await read(await machine.files.read(machine.container(identity), "/d/new"))
    assert copied["new"].owner == (1000, 2000)


@on_each_kernel
async def test_an_owner_who_is_not_known_is_refused(machine: MachineUnderTest) -> None:
    identity = await created(machine)

    with pytest.raises(InvalidRequest, match="unable to find user joe"):
        await unpack(machine, identity, "/", {"new": NEW}, UnpackOptions(owner="joe"))

    assert await machine.files.changes(machine.container(identity)) == ()


@on_each_kernel
async def test_kinds_are_replaced_or_kept(machine: MachineUnderTest) -> None:
    identity = await created(machine)
    careful = UnpackOptions(keep_kinds=True)
    swapped = {
        'cannot overwrite directory "/d" with non-directory "/"': {"d": NEW},
        'cannot overwrite non-directory "/f" with directory "/"': {"f": DIRECTORY},
    }

    for message, nodes in swapped.items():
        with pytest.raises(InvalidRequest, match=message):
            await unpack(machine, identity, "/", nodes, careful)
        await unpack(machine, identity, "/", nodes)

    container = machine.container(identity)
    assert stat.S_ISREG((await machine.files.stat(container, "/d")).mode)
    assert stat.S_ISDIR((await machine.files.stat(container, "/f")).mode)


@on_each_kernel
async def test_what_leads_out_of_the_destination_is_refused(machine: MachineUnderTest) -> None:
    identity = await created(machine)

    with pytest.raises(InvalidRequest, match=r'"\.\./new" is outside of "/d"'):
        await unpack(machine, identity, "/d", {"first": NEW, "../new": NEW})

    container = machine.container(identity)
    assert (await machine.files.stat(container, "/d/first")).name == "first", "it stays"
    with pytest.raises(NoSuchPath):
        await machine.files.stat(container, "/new")


@on_each_kernel
async def test_a_damaged_tar_is_refused_when_it_arrives(machine: MachineUnderTest) -> None:
    cut_off = tar_of_nodes({"new": NEW})[:513]

    for damaged in (b"damaged", cut_off):
        with pytest.raises(InvalidRequest, match="invalid tar archive: unexpected EOF"):
            await machine.files.receive(blocks_of(damaged))


@on_each_kernel
async def test_a_root_that_is_read_only_is_no_destination(machine: MachineUnderTest) -> None:
    container = machine.container(await created(machine, read_only=True))

    with pytest.raises(ReadOnlyPlace, match="container rootfs is marked read-only"):
        await machine.files.check_destination(container, "/d")
    with pytest.raises(ReadOnlyPlace, match="container rootfs is marked read-only"):
        async with machine.files.destination(container, "/d", lambda: None):
            raise AssertionError


@on_each_kernel
async def test_copies_into_a_container_come_one_after_the_other(machine: MachineUnderTest) -> None:
    container = machine.container(await created(machine))
    order: list[str] = []

    async def copy_second() -> None:
        async with machine.files.destination(container, "/", lambda: order.append("checked")):
            order.append("second is open")

    async with (
        trio.open_nursery() as nursery,
        machine.files.destination(container, "/", lambda: None),
    ):
        nursery.start_soon(copy_second)
        await trio.testing.wait_all_tasks_blocked()
        order.append("first is done")

    assert order == ["first is done", "checked", "second is open"]


@on_each_kernel
async def test_a_check_that_fails_opens_nothing(machine: MachineUnderTest) -> None:
    container = machine.container(await created(machine))

    def fail() -> None:
        raise ProcessGone("it is not what it was")

    for _ in range(2):
        with pytest.raises(ProcessGone):
            async with machine.files.destination(container, "/", fail):
                raise AssertionError


@on_each_kernel
async def test_a_container_that_runs_has_files_too(machine: MachineUnderTest) -> None:
    identity = await machine.start()

    await unpack(machine, identity, "/", {"new": NEW})

    copied = await read(await machine.files.read(machine.container(identity), "/new"))
    assert copied == {"new": NEW}
    await machine.end(identity)
    copied = await read(await machine.files.read(machine.container(identity), "/new"))
    assert copied == {"new": NEW}, "after its end as well"


@on_each_kernel
async def test_a_container_that_has_just_ended_is_told(machine: MachineUnderTest) -> None:
    identity = await machine.start()
    running = machine.container(identity)
    await machine.act(identity, do.KillEverything())
    await machine.until(identity, lambda seen: not seen.monitor_alive)

    with pytest.raises(ProcessGone):
        await machine.files.stat(running, "/")
    with pytest.raises(ProcessGone):
        await machine.files.read(running, "/")
    with pytest.raises(ProcessGone):
        await machine.files.export(running)
    with pytest.raises(ProcessGone):
        await machine.files.check_destination(running, "/")
    with pytest.raises(ProcessGone):
        async with machine.files.destination(running, "/", lambda: None):
            raise AssertionError
