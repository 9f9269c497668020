"""The port ``Kernel``: what is listed, and what is done with what belongs to nobody."""

import pytest

from engine.errors import DriverError
from engine.ports import actions as do
from engine.ports.observation import Inventory, Presence
from tests.contract.kernels import MachineUnderTest, on_each_kernel


@on_each_kernel
async def test_nothing_is_listed_where_nothing_is(machine: MachineUnderTest) -> None:
    await machine.create()

    assert await machine.kernel.inventory() == Inventory()


@on_each_kernel
async def test_what_runs_is_listed_and_nothing_else(machine: MachineUnderTest) -> None:
    await machine.create()
    container = await machine.start()
    sandbox = machine.container(container).sandbox
    assert sandbox is not None

    found = await machine.kernel.inventory()

    only = frozenset({container})
    assert found == Inventory(
        bundles=only, cgroups=only, directories=only, sandboxes=frozenset({sandbox})
    )


@on_each_kernel
async def test_of_what_has_ended_and_was_removed_the_directory_is_left(
    machine: MachineUnderTest,
) -> None:
    container = await machine.start()
    sandbox = machine.container(container).sandbox
    assert sandbox is not None
    await machine.end(container)
    for action in (do.RemoveSandbox(sandbox), do.RemoveCgroup(), do.RemoveBundle()):
        await machine.act(container, action)

    found = await machine.kernel.inventory()

    assert found == Inventory(directories=frozenset({container}))


@on_each_kernel
async def test_a_network_that_was_damaged_is_found_and_repaired(machine: MachineUnderTest) -> None:
    await machine.kernel.networks.repair(machine.ledger.durable.networks_with_links(), ())
    container = await machine.start(network_mode="bridge")
    sandbox = machine.container(container).sandbox
    assert (await machine.kernel.inventory()).damaged_sandboxes == frozenset()
    await machine.break_sandbox(container)

    found = await machine.kernel.inventory()
    seen = await machine.look(container)
    await machine.act(container, do.PrepareSandbox())

    assert found.damaged_sandboxes == frozenset({sandbox})
    assert seen.sandbox is not Presence.RIGHT
    assert (await machine.look(container)).sandbox is Presence.RIGHT
    assert (await machine.kernel.inventory()).damaged_sandboxes == frozenset()


@on_each_kernel
async def test_a_cgroup_without_its_process_is_listed_as_damaged(machine: MachineUnderTest) -> None:
    """The log has not heard yet that the process has ended."""
    container = await machine.start()
    await machine.act(container, do.KillEverything())

    found = await machine.kernel.inventory()

    assert found.damaged_cgroups == frozenset({container})


@on_each_kernel
async def test_orphans_are_discarded(machine: MachineUnderTest) -> None:
    container = await machine.start()
    sandbox = machine.container(container).sandbox
    assert sandbox is not None
    await machine.end(container)

    for kind, name in (("sandbox", sandbox), ("cgroup", container), ("bundle", container)):
        await machine.kernel.discard(kind, name)
        await machine.kernel.discard(kind, name)

    found = await machine.kernel.inventory()
    assert found == Inventory(directories=frozenset({container}))


@on_each_kernel
async def test_a_bridge_that_is_an_orphan_is_discarded(machine: MachineUnderTest) -> None:
    network = await machine.make_network("net", "172.30.0.0/24", "172.30.0.1")
    await machine.kernel.networks.make(network)
    assert (await machine.kernel.inventory()).bridges == {network.bridge}

    await machine.kernel.discard("bridge", network.bridge)
    await machine.kernel.discard("bridge", network.bridge)

    assert (await machine.kernel.inventory()).bridges == frozenset()


@on_each_kernel
async def test_what_is_in_use_is_not_discarded(machine: MachineUnderTest) -> None:
    container = await machine.start()
    before = await machine.kernel.inventory()

    for kind in ("bundle", "cgroup"):
        with pytest.raises(DriverError):
            await machine.kernel.discard(kind, container)

    assert await machine.kernel.inventory() == before
    assert (await machine.look(container)).process_alive


@on_each_kernel
async def test_a_directory_is_never_discarded(machine: MachineUnderTest) -> None:
    """It may hold somebody's data."""
    container = await machine.start()
    await machine.end(container)

    with pytest.raises(DriverError):
        await machine.kernel.discard("directory", container)

    assert (await machine.kernel.inventory()).directories == {container}


@on_each_kernel
async def test_nothing_has_changed_until_something_has(machine: MachineUnderTest) -> None:
    await machine.kernel.networks.repair(machine.ledger.durable.networks_with_links(), ())
    container = await machine.start(network_mode="bridge")
    await no_news(machine)

    await machine.break_sandbox(container)

    assert await machine.kernel.may_have_changed()


@on_each_kernel
async def test_what_was_said_to_have_changed_is_said_once(machine: MachineUnderTest) -> None:
    await machine.kernel.networks.repair(machine.ledger.durable.networks_with_links(), ())
    container = await machine.start()
    await no_news(machine)

    await machine.act(container, do.RemoveBundle())

    assert await machine.kernel.may_have_changed()
    await no_news(machine)


async def no_news(machine: MachineUnderTest) -> None:
    """Look again and again until the kernel says that nothing has changed since."""
    networks = machine.ledger.durable.networks_with_links()
    while await machine.kernel.may_have_changed():
        await machine.kernel.networks.wrong(networks, ())
        await machine.kernel.inventory()


@on_each_kernel
async def test_the_end_of_a_process_is_a_change(machine: MachineUnderTest) -> None:
    await machine.kernel.networks.repair(machine.ledger.durable.networks_with_links(), ())
    container = await machine.start()
    await no_news(machine)

    await machine.act(container, do.KillEverything())
    await machine.until(container, lambda seen: not seen.process_alive)

    assert await machine.kernel.may_have_changed()
