"""The port ``Kernel``: what is listed, and what is done with what belongs to nobody."""

import pytest

from engine.errors import DriverError
from engine.ports import actions as do
from engine.ports.observation import Inventory, Presence
from tests.contract.kernels import Bench, on_each_kernel


@on_each_kernel
async def test_nothing_is_listed_where_nothing_is(bench: Bench) -> None:
    await bench.create()

    assert await bench.kernel.inventory() == Inventory()


@on_each_kernel
async def test_what_runs_is_listed_and_nothing_else(bench: Bench) -> None:
    await bench.create()
    container = await bench.start()
    sandbox = bench.container(container).sandbox
    assert sandbox is not None

    found = await bench.kernel.inventory()

    only = frozenset({container})
    assert found == Inventory(
        bundles=only, cgroups=only, directories=only, sandboxes=frozenset({sandbox})
    )


@on_each_kernel
async def test_of_what_has_ended_and_was_removed_the_directory_is_left(bench: Bench) -> None:
    container = await bench.start()
    sandbox = bench.container(container).sandbox
    assert sandbox is not None
    await bench.end(container)
    for action in (do.RemoveSandbox(sandbox), do.RemoveCgroup(), do.RemoveBundle()):
        await bench.act(container, action)

    found = await bench.kernel.inventory()

    assert found == Inventory(directories=frozenset({container}))


@on_each_kernel
async def test_a_network_that_was_damaged_is_found_and_repaired(bench: Bench) -> None:
    await bench.kernel.networks.repair(bench.ledger.durable.networks_with_links(), ())
    container = await bench.start(network_mode="bridge")
    sandbox = bench.container(container).sandbox
    assert (await bench.kernel.inventory()).damaged_sandboxes == frozenset()
    await bench.break_sandbox(container)

    found = await bench.kernel.inventory()
    seen = await bench.look(container)
    await bench.act(container, do.PrepareSandbox())

    assert found.damaged_sandboxes == frozenset({sandbox})
    assert seen.sandbox is not Presence.RIGHT
    assert (await bench.look(container)).sandbox is Presence.RIGHT
    assert (await bench.kernel.inventory()).damaged_sandboxes == frozenset()


@on_each_kernel
async def test_a_cgroup_without_its_process_is_listed_as_damaged(bench: Bench) -> None:
    """The log has not heard yet that the process has ended."""
    container = await bench.start()
    await bench.act(container, do.KillEverything())

    found = await bench.kernel.inventory()

    assert found.damaged_cgroups == frozenset({container})


@on_each_kernel
async def test_orphans_are_discarded(bench: Bench) -> None:
    container = await bench.start()
    sandbox = bench.container(container).sandbox
    assert sandbox is not None
    await bench.end(container)

    for kind, name in (("sandbox", sandbox), ("cgroup", container), ("bundle", container)):
        await bench.kernel.discard(kind, name)
        await bench.kernel.discard(kind, name)

    found = await bench.kernel.inventory()
    assert found == Inventory(directories=frozenset({container}))


@on_each_kernel
async def test_a_bridge_that_is_an_orphan_is_discarded(bench: Bench) -> None:
    network = await bench.make_network("net", "172.30.0.0/24", "172.30.0.1")
    await bench.kernel.networks.make(network)
    assert (await bench.kernel.inventory()).bridges == {network.bridge}

    await bench.kernel.discard("bridge", network.bridge)
    await bench.kernel.discard("bridge", network.bridge)

    assert (await bench.kernel.inventory()).bridges == frozenset()


@on_each_kernel
async def test_what_is_in_use_is_not_discarded(bench: Bench) -> None:
    container = await bench.start()
    before = await bench.kernel.inventory()

    for kind in ("bundle", "cgroup"):
        with pytest.raises(DriverError):
            await bench.kernel.discard(kind, container)

    assert await bench.kernel.inventory() == before
    assert (await bench.look(container)).process_alive


@on_each_kernel
async def test_a_directory_is_never_discarded(bench: Bench) -> None:
    """It may hold somebody's data."""
    container = await bench.start()
    await bench.end(container)

    with pytest.raises(DriverError):
        await bench.kernel.discard("directory", container)

    assert (await bench.kernel.inventory()).directories == {container}
