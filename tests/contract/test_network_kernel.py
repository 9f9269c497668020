"""The port ``NetworkKernel``: networks, prepared namespaces, ports of the host, interfaces of
containers."""

from ipaddress import ip_network

import pytest
import trio

from engine.domain.container.attachment import (
    Connected,
    ConnectRequested,
    Disconnected,
    DisconnectRequested,
)
from engine.domain.container.endpoints import choose_endpoint, next_endpoints
from engine.domain.container.spec import Membership, PortBinding
from engine.errors import Conflict, EngineError
from engine.ports import actions as do
from engine.ports.observation import Presence
from tests.contract.kernels import LOOK_S, MachineUnderTest, on_each_kernel

SUBNET = "172.30.0.0/24"
GATEWAY = "172.30.0.1"


@on_each_kernel
async def test_networks_are_wrong_until_they_are_repaired(machine: MachineUnderTest) -> None:
    await machine.make_network("net", SUBNET, GATEWAY)
    networks = machine.ledger.durable.networks_with_links()
    kernel = machine.kernel.networks
    assert {(each.id, "bridge") for each in networks} <= set(await kernel.wrong(networks, ()))

    await kernel.repair(networks, ())
    await kernel.repair(networks, ())

    assert await kernel.wrong(networks, ()) == ()
    assert (await machine.kernel.inventory()).bridges == {each.bridge for each in networks}


@on_each_kernel
async def test_a_network_that_is_made_is_right(machine: MachineUnderTest) -> None:
    kernel = machine.kernel.networks
    await kernel.repair(machine.ledger.durable.networks_with_links(), ())
    network = await machine.make_network("net", SUBNET, GATEWAY)

    await kernel.make(network)
    await kernel.make(network)

    assert await kernel.wrong(machine.ledger.durable.networks_with_links(), ()) == ()


@on_each_kernel
async def test_a_network_that_is_removed_is_gone(machine: MachineUnderTest) -> None:
    kernel = machine.kernel.networks
    network = await machine.make_network("net", SUBNET, GATEWAY)
    await kernel.make(network)

    await kernel.remove(network)
    await kernel.remove(network)

    assert network.bridge not in machine.links()
    assert (network.id, "bridge") in await kernel.wrong((network,), ())


@on_each_kernel
async def test_subnets_of_networks_are_taken(machine: MachineUnderTest) -> None:
    kernel = machine.kernel.networks
    network = await machine.make_network("net", SUBNET, GATEWAY)
    assert ip_network(SUBNET) not in await kernel.taken_subnets()

    await kernel.make(network)
    taken = await kernel.taken_subnets()
    await kernel.remove(network)

    assert ip_network(SUBNET) in taken
    assert ip_network(SUBNET) not in await kernel.taken_subnets()


@on_each_kernel
async def test_a_link_of_somebody_else_is_refused_and_stays(machine: MachineUnderTest) -> None:
    kernel = machine.kernel.networks
    network = await machine.make_network("net", SUBNET, GATEWAY)
    machine.add_foreign_link(network.bridge)

    with pytest.raises(Conflict):
        await kernel.make(network)
    await kernel.remove(network)

    assert network.bridge in machine.links()


@on_each_kernel
async def test_an_offered_endpoint_is_prepared_and_taken_once(machine: MachineUnderTest) -> None:
    kernel = machine.kernel.networks
    await kernel.repair(machine.ledger.durable.networks_with_links(), ())
    network = machine.ledger.head.network("bridge")
    first, second = next_endpoints(machine.ledger.head, network, 2)
    kernel.offer_endpoints(network, (first, second))
    while machine.offered_sandboxes() < 2:  # noqa: ASYNC110  (nobody tells)
        await trio.sleep(LOOK_S)
    sandbox = kernel.take_sandbox(first)

    assert sandbox is not None
    assert kernel.take_sandbox(first) is None
    assert (await machine.kernel.inventory()).sandboxes == {sandbox}, "the other is nobody's yet"
    await machine.kernel.discard("sandbox", sandbox)
    assert (await machine.kernel.inventory()).sandboxes == frozenset()


@on_each_kernel
async def test_a_port_that_the_host_uses_is_refused(machine: MachineUnderTest) -> None:
    kernel = machine.kernel.networks
    taken = machine.occupied_port()
    kernel.check_host_port(PortBinding(container_port=80, host_port=taken + 1))

    with pytest.raises(EngineError, match=str(taken)):
        kernel.check_host_port(PortBinding(container_port=80, host_port=taken))


@on_each_kernel
async def test_published_ports_are_part_of_what_is_right(machine: MachineUnderTest) -> None:
    kernel = machine.kernel.networks
    networks = machine.ledger.durable.networks_with_links()
    await kernel.repair(networks, ())
    ports = (PortBinding(container_port=80, host_port=machine.occupied_port() + 1),)
    container = await machine.create(network_mode="bridge", ports=ports)
    await machine.prepare(container)
    known = machine.container(container)
    assert (networks[0].id, "firewall") in await kernel.wrong(networks, (known,))

    for _ in range(2):
        await machine.act(container, do.PublishPorts())
        assert await kernel.wrong(networks, (known,)) == ()

    for _ in range(2):
        await machine.act(container, do.UnpublishPorts())
        assert (networks[0].id, "firewall") in await kernel.wrong(networks, (known,))


@on_each_kernel
async def test_a_running_container_joins_and_leaves_a_network(machine: MachineUnderTest) -> None:
    await machine.make_network("net", SUBNET, GATEWAY)
    await machine.kernel.networks.repair(machine.ledger.durable.networks_with_links(), ())
    container = await machine.start(network_mode="bridge")
    assert machine.interfaces(container) == 1
    network = machine.ledger.head.network("net")
    wish = Membership(name="net", network=network.id)
    endpoint = choose_endpoint(machine.ledger.head, network, wish, 1)

    await machine.record(container, ConnectRequested(order=1, membership=wish, endpoint=endpoint))
    for _ in range(2):
        await machine.act(container, do.Connect(order=1))
        assert machine.interfaces(container) == 2
    await machine.record(container, Connected(order=1))
    assert (await machine.look(container)).sandbox is Presence.RIGHT

    await machine.record(container, DisconnectRequested(order=2, network=network.id, name="net"))
    for _ in range(2):
        await machine.act(container, do.Disconnect(order=2))
        assert machine.interfaces(container) == 1
    await machine.record(container, Disconnected(order=2))
    assert (await machine.look(container)).sandbox is Presence.RIGHT
