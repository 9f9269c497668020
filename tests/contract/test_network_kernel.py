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
from tests.contract.kernels import LOOK_S, Bench, on_each_kernel

SUBNET = "172.30.0.0/24"
GATEWAY = "172.30.0.1"


@on_each_kernel
async def test_networks_are_wrong_until_they_are_repaired(bench: Bench) -> None:
    await bench.make_network("net", SUBNET, GATEWAY)
    networks = bench.ledger.durable.networks_with_links()
    kernel = bench.kernel.networks
    assert {(each.id, "bridge") for each in networks} <= set(await kernel.wrong(networks, ()))

    await kernel.repair(networks, ())
    await kernel.repair(networks, ())

    assert await kernel.wrong(networks, ()) == ()
    assert (await bench.kernel.inventory()).bridges == {each.bridge for each in networks}


@on_each_kernel
async def test_a_network_that_is_made_is_right(bench: Bench) -> None:
    kernel = bench.kernel.networks
    await kernel.repair(bench.ledger.durable.networks_with_links(), ())
    network = await bench.make_network("net", SUBNET, GATEWAY)

    await kernel.make(network)
    await kernel.make(network)

    assert await kernel.wrong(bench.ledger.durable.networks_with_links(), ()) == ()


@on_each_kernel
async def test_a_network_that_is_removed_is_gone(bench: Bench) -> None:
    kernel = bench.kernel.networks
    network = await bench.make_network("net", SUBNET, GATEWAY)
    await kernel.make(network)

    await kernel.remove(network)
    await kernel.remove(network)

    assert network.bridge not in bench.links()
    assert (network.id, "bridge") in await kernel.wrong((network,), ())


@on_each_kernel
async def test_subnets_of_networks_are_taken(bench: Bench) -> None:
    kernel = bench.kernel.networks
    network = await bench.make_network("net", SUBNET, GATEWAY)
    assert ip_network(SUBNET) not in await kernel.taken_subnets()

    await kernel.make(network)
    taken = await kernel.taken_subnets()
    await kernel.remove(network)

    assert ip_network(SUBNET) in taken
    assert ip_network(SUBNET) not in await kernel.taken_subnets()


@on_each_kernel
async def test_a_link_of_somebody_else_is_refused_and_stays(bench: Bench) -> None:
    kernel = bench.kernel.networks
    network = await bench.make_network("net", SUBNET, GATEWAY)
    bench.add_foreign_link(network.bridge)

    with pytest.raises(Conflict):
        await kernel.make(network)
    await kernel.remove(network)

    assert network.bridge in bench.links()


@on_each_kernel
async def test_an_offered_endpoint_is_prepared_and_taken_once(bench: Bench) -> None:
    kernel = bench.kernel.networks
    await kernel.repair(bench.ledger.durable.networks_with_links(), ())
    network = bench.ledger.head.network("bridge")
    first, second = next_endpoints(bench.ledger.head, network, 2)
    kernel.offer_endpoints(network, (first, second))
    while bench.offered_sandboxes() < 2:  # noqa: ASYNC110  (nobody tells)
        await trio.sleep(LOOK_S)
    sandbox = kernel.take_sandbox(first)

    assert sandbox is not None
    assert kernel.take_sandbox(first) is None
    assert (await bench.kernel.inventory()).sandboxes == {sandbox}, "the other is nobody's yet"
    await bench.kernel.discard("sandbox", sandbox)
    assert (await bench.kernel.inventory()).sandboxes == frozenset()


@on_each_kernel
async def test_a_port_that_the_host_uses_is_refused(bench: Bench) -> None:
    kernel = bench.kernel.networks
    taken = bench.occupied_port()
    kernel.check_host_port(PortBinding(container_port=80, host_port=taken + 1))

    with pytest.raises(EngineError, match=str(taken)):
        kernel.check_host_port(PortBinding(container_port=80, host_port=taken))


@on_each_kernel
async def test_published_ports_are_part_of_what_is_right(bench: Bench) -> None:
    kernel = bench.kernel.networks
    networks = bench.ledger.durable.networks_with_links()
    await kernel.repair(networks, ())
    ports = (PortBinding(container_port=80, host_port=bench.occupied_port() + 1),)
    container = await bench.create(network_mode="bridge", ports=ports)
    await bench.prepare(container)
    known = bench.container(container)
    assert (networks[0].id, "firewall") in await kernel.wrong(networks, (known,))

    for _ in range(2):
        await bench.act(container, do.PublishPorts())
        assert await kernel.wrong(networks, (known,)) == ()

    for _ in range(2):
        await bench.act(container, do.UnpublishPorts())
        assert (networks[0].id, "firewall") in await kernel.wrong(networks, (known,))


@on_each_kernel
async def test_a_running_container_joins_and_leaves_a_network(bench: Bench) -> None:
    await bench.make_network("net", SUBNET, GATEWAY)
    await bench.kernel.networks.repair(bench.ledger.durable.networks_with_links(), ())
    container = await bench.start(network_mode="bridge")
    assert bench.interfaces(container) == 1
    network = bench.ledger.head.network("net")
    wish = Membership(name="net", network=network.id)
    endpoint = choose_endpoint(bench.ledger.head, network, wish, 1)

    await bench.record(container, ConnectRequested(order=1, membership=wish, endpoint=endpoint))
    for _ in range(2):
        await bench.act(container, do.Connect(order=1))
        assert bench.interfaces(container) == 2
    await bench.record(container, Connected(order=1))
    assert (await bench.look(container)).sandbox is Presence.RIGHT

    await bench.record(container, DisconnectRequested(order=2, network=network.id, name="net"))
    for _ in range(2):
        await bench.act(container, do.Disconnect(order=2))
        assert bench.interfaces(container) == 1
    await bench.record(container, Disconnected(order=2))
    assert (await bench.look(container)).sandbox is Presence.RIGHT
