"""Test the firewall in a real kernel: who reaches whom, under which address; the table is tested by
its effects.
"""

import errno
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from engine.domain import naming
from engine.domain.container.attachment import mac_address
from engine.drivers.networks.firewall import Firewall
from engine.drivers.networks.host_ports import HostPortUnavailable, check_host_port
from engine.drivers.networks.ruleset import (
    ANY_ADDRESS,
    BridgeRules,
    FirewallPlan,
    Protocol,
    PublishedPort,
)
from engine.errors import DriverError
from tests.kernel.network_world import (
    BRIDGE,
    INSTANCE,
    OTHER_BRIDGE,
    OUTSIDE,
    SILENCE_S,
    WAN,
    World,
    add_default_route,
    bind,
    can_call,
    in_place,
    new_world,
    sandbox,
    talk,
)

pytestmark = pytest.mark.root
BRIDGES = frozenset(
    BridgeRules(bridge.name, (bridge.addresses[0].network,)) for bridge in (BRIDGE, OTHER_BRIDGE)
)
TABLE = naming.firewall_table(INSTANCE)


def published(
    host_port: int,
    port: int,
    *,
    number: int = 2,
    on: IPv4Address = ANY_ADDRESS,
    protocol: Protocol = Protocol.TCP,
) -> PublishedPort:
    return PublishedPort(protocol, on, host_port, BRIDGE.addresses[0].network[number], port)


def plan(*ports: PublishedPort) -> FirewallPlan:
    return FirewallPlan(BRIDGES, frozenset(ports))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world(tmp_path) as made:
        made.network.ensure_bridge(BRIDGE)
        made.network.ensure_bridge(OTHER_BRIDGE)
        made.firewall.apply(plan())
        yield made


@pytest.fixture(params=["0", "1"])
def bridge_netfilter(world: World, request: pytest.FixtureRequest) -> None:
    """Run a test once with and once without br_netfilter filtering frames between ports of a
    bridge.
    """
    Path("/proc/sys/net/bridge/bridge-nf-call-iptables").write_text(request.param)


def nft(commands: str) -> str:
    """Run a command of nft, as an administrator would."""
    return subprocess.run(
        ["nft", "-f", "-"], input=commands, text=True, capture_output=True, check=True
    ).stdout


@pytest.mark.usefixtures("bridge_netfilter")
def test_containers_reach_other_hosts_with_the_hosts_address(world: World) -> None:
    with bind(world.outside(), 80) as server:
        assert talk(server, world.container(2), str(OUTSIDE.ip), 80) == str(WAN.ip)


def test_without_masquerading_containers_keep_their_own_address(world: World) -> None:
    outside = world.outside()
    add_default_route(outside, WAN.ip)
    rules = BridgeRules(BRIDGE.name, (BRIDGE.addresses[0].network,), masquerade=False)
    world.firewall.apply(FirewallPlan(frozenset({rules})))

    with bind(outside, 80) as server:
        assert talk(server, world.container(2), str(OUTSIDE.ip), 80) == "172.17.0.2"


@pytest.mark.usefixtures("bridge_netfilter")
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_published_port_is_reached_from_everywhere(world: World, kind: socket.SocketKind) -> None:
    itself, neighbour, outside = world.container(2), world.container(3), world.outside()
    other = world.container(2, OTHER_BRIDGE)
    protocol = Protocol.TCP if kind == socket.SOCK_STREAM else Protocol.UDP
    world.firewall.publish([published(8080, 80, protocol=protocol)])

    with bind(itself, 80, kind=kind) as server:
        assert talk(server, outside, str(WAN.ip), 8080) == str(OUTSIDE.ip), "the caller is kept"
        assert talk(server, None, str(WAN.ip), 8080) == str(WAN.ip)
        assert talk(server, None, "127.0.0.1", 8080) == str(BRIDGE.addresses[0].ip)
        for caller in (neighbour, itself, other):
            assert talk(server, caller, str(WAN.ip), 8080)
        assert talk(server, neighbour, str(BRIDGE.addresses[0].ip), 8080)


def test_protocols_have_ports_of_their_own(world: World) -> None:
    world.firewall.publish([published(8080, 80, protocol=Protocol.UDP)])

    with bind(world.container(2), 80), bind(None, 8080) as host:
        assert talk(host, None, "127.0.0.1", 8080) == "127.0.0.1"


def test_a_port_published_at_one_address_is_reached_at_that_address_only(world: World) -> None:
    place, outside = world.container(2), world.outside()
    world.firewall.publish([published(8080, 80, on=WAN.ip)])

    with bind(place, 80) as server:
        assert talk(server, outside, str(WAN.ip), 8080) == str(OUTSIDE.ip)
        assert not can_call(None, "127.0.0.1", 8080)


def test_a_port_published_at_localhost_is_the_hosts_alone(world: World) -> None:
    place, neighbour, outside = world.container(2), world.container(3), world.outside()
    world.firewall.publish([published(8080, 80, on=IPv4Address("127.0.0.1"))])

    with bind(place, 80) as server:
        assert talk(server, None, "127.0.0.1", 8080) == str(BRIDGE.addresses[0].ip)
        assert not can_call(outside, str(WAN.ip), 8080)
        assert not can_call(neighbour, str(BRIDGE.addresses[0].ip), 8080)


def test_a_specific_address_goes_before_all_addresses(world: World) -> None:
    one, two = world.container(2), world.container(3)
    world.outside()
    world.firewall.publish([published(8080, 80), published(8080, 80, number=3, on=WAN.ip)])

    with bind(one, 80) as general, bind(two, 80) as specific:
        assert talk(general, None, "127.0.0.1", 8080)
        assert talk(specific, None, str(WAN.ip), 8080)


@pytest.mark.usefixtures("bridge_netfilter")
def test_what_is_not_published_is_not_reached_from_other_networks_or_by_routing(
    world: World,
) -> None:
    place, other, outside = world.container(2), world.container(2, OTHER_BRIDGE), world.outside()
    add_default_route(outside, WAN.ip)

    with bind(place, 80) as server:
        assert not can_call(outside, "172.17.0.2", 80)
        assert not can_call(other, "172.17.0.2", 80)
        nft(f"flush chain inet {TABLE} forward")
        assert talk(server, outside, "172.17.0.2", 80), "else the refusals above prove nothing"


def test_containers_do_not_reach_the_hosts_loopback(world: World) -> None:
    place = world.container(2)
    with bind(None, 9, "127.0.0.1", socket.SOCK_DGRAM) as secret:
        secret.settimeout(SILENCE_S)
        _send_to_loopback(place, 9)
        with pytest.raises(TimeoutError):
            secret.recv(16)

        nft(f"flush chain inet {TABLE} raw")
        _send_to_loopback(place, 9)
        assert secret.recv(16) == b"knock", "else the silence above proves nothing"


def _send_to_loopback(place: Path, port: int) -> None:
    """Send a datagram to 127.0.0.1 by the gateway, which needs a frame made by hand."""
    datagram = struct.pack("!HHHH", 1000, port, 13, 0) + b"knock"
    addresses = BRIDGE.addresses[0].network[2].packed + IPv4Address("127.0.0.1").packed
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0) + addresses
    total = sum(struct.unpack("!10H", header))
    checksum = ~(total + (total >> 16)) & 0xFFFF
    packet = header[:10] + struct.pack("!H", checksum) + header[12:] + datagram
    with in_place(place, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)) as wire:
        gateway = bytes.fromhex(mac_address(str(BRIDGE.addresses[0])).replace(":", ""))
        index = in_place(place, lambda: socket.if_nametoindex("eth0"))
        assert index
        wire.sendto(packet, ("eth0", 0x0800, 0, 0, gateway))


def test_a_withdrawn_port_is_reached_no_more_and_may_be_withdrawn_again(world: World) -> None:
    port = published(8080, 80)
    world.firewall.publish([port])
    world.firewall.publish([port])

    world.firewall.unpublish([port])
    world.firewall.unpublish([port])

    with bind(world.container(2), 80):
        assert not can_call(None, "127.0.0.1", 8080)
    assert world.firewall.published() == frozenset()


def test_all_ports_of_a_container_are_published_or_none(world: World) -> None:
    world.firewall.publish([published(8080, 80)])

    with pytest.raises(DriverError, match="File exists"):
        world.firewall.publish([published(8081, 81), published(8080, 82)])

    assert world.firewall.published() == {published(8080, 80)}


def test_connections_live_through_a_replacement_of_the_table(world: World) -> None:
    outside = world.outside()
    world.firewall.publish([published(8080, 80)])
    with bind(world.container(2), 80) as server, in_place(outside, socket.socket) as client:
        client.connect((str(WAN.ip), 8080))
        line, _ = server.accept()
        with line:
            world.firewall.apply(plan(published(8080, 80), published(8081, 81)))

            client.sendall(b"still there")
            assert line.recv(16) == b"still there"


PORTS = (
    published(8080, 80),
    published(8081, 81, on=WAN.ip),
    published(53, 53, protocol=Protocol.UDP),
)


def test_the_table_is_right_after_each_change_of_ours(world: World) -> None:
    assert world.firewall.is_right(plan())
    world.firewall.publish(PORTS)
    assert world.firewall.is_right(plan(*PORTS))
    assert not world.firewall.is_right(plan())
    world.firewall.unpublish(PORTS[:1])
    assert world.firewall.is_right(plan(*PORTS[1:]))


def test_a_daemon_that_comes_back_finds_its_table_right(world: World) -> None:
    world.firewall.apply(plan(*PORTS))

    with closing(Firewall(INSTANCE)) as returned:
        assert returned.is_right(plan(*PORTS))
        assert not returned.is_right(plan(*PORTS[1:]))
        assert not returned.is_right(FirewallPlan(frozenset(list(BRIDGES)[:1]), frozenset(PORTS)))


@pytest.mark.parametrize(
    "damage",
    [
        "flush ruleset",
        f"delete table inet {TABLE}",
        f"delete element inet {TABLE} ports4 {{ tcp . 8080 }}",
        f"add element inet {TABLE} ports4 {{ tcp . 9090 : 172.17.0.9 . 90 }}",
        f"delete element inet {TABLE} ports4_at {{ tcp . {WAN.ip} . 8081 }}",
        f"delete element inet {TABLE} bridges {{ {BRIDGE.name} }}",
        f"flush chain inet {TABLE} forward",
        f"insert rule inet {TABLE} forward counter drop",
        f"add chain inet {TABLE} output {{ policy drop; }}",
        f"add set inet {TABLE} strange {{ type ipv4_addr; }}",
    ],
)
def test_damage_is_found_and_repaired(world: World, damage: str) -> None:
    world.firewall.apply(plan(*PORTS))
    assert world.firewall.is_right(plan(*PORTS))

    nft(damage)

    assert not world.firewall.is_right(plan(*PORTS))
    world.firewall.apply(plan(*PORTS))
    assert world.firewall.is_right(plan(*PORTS))
    with closing(Firewall(INSTANCE)) as returned:
        assert returned.is_right(plan(*PORTS)), "by its listing, too"


def test_other_tables_are_neither_changed_nor_reported(world: World) -> None:
    theirs = "table ip theirs {\n\tchain forward {\n\t\tcounter packets 0 bytes 0 accept\n\t}\n}\n"
    nft(theirs)

    assert world.firewall.is_right(plan())
    world.firewall.apply(plan(*PORTS))
    world.firewall.publish([published(1, 1)])
    world.firewall.remove()

    assert nft("list ruleset") == theirs


def test_a_removed_table_is_gone_and_may_be_removed_again(world: World) -> None:
    world.firewall.remove()
    world.firewall.remove()

    assert nft("list ruleset") == ""
    assert not world.firewall.is_right(FirewallPlan())
    assert world.firewall.published() == frozenset()


def test_publishing_without_a_table_is_refused_and_withdrawing_is_not(world: World) -> None:
    world.firewall.remove()

    with pytest.raises(DriverError, match=TABLE):
        world.firewall.publish([published(8080, 80)])
    world.firewall.unpublish([published(8080, 80)])


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_a_process_of_the_host_has_is_refused_in_dockers_words(
    world: World, kind: socket.SocketKind
) -> None:
    protocol = Protocol.TCP if kind == socket.SOCK_STREAM else Protocol.UDP
    check_host_port(published(8080, 80, protocol=protocol))

    with bind(None, 8080, "127.0.0.1", kind) as server:
        with pytest.raises(HostPortUnavailable) as refusal:
            check_host_port(published(8080, 80, protocol=protocol))
        assert talk(server, None, "127.0.0.1", 8080), "the server noticed nothing"

    name = protocol.name.lower()
    assert str(refusal.value) == (
        f"failed to bind host port for 0.0.0.0:8080:172.17.0.2:80/{name}: address already in use"
    )


def test_a_port_of_an_address_that_the_host_has_not_is_refused(world: World) -> None:
    with pytest.raises(HostPortUnavailable, match="cannot assign requested address") as refusal:
        check_host_port(published(8080, 80, on=IPv4Address("198.51.100.1")))

    cause = refusal.value.__cause__
    assert isinstance(cause, OSError)
    assert cause.errno == errno.EADDRNOTAVAIL


def test_a_prepared_container_and_its_port_are_right_together(world: World) -> None:
    """The damage tests would also pass if nothing were ever right."""
    world.container(2)
    world.firewall.publish([published(8080, 80)])

    assert world.faults(sandbox(2)) == ()
    assert world.firewall.is_right(plan(published(8080, 80)))


def test_a_client_that_goes_on_sending_follows_a_port_that_leads_elsewhere(world: World) -> None:
    one, other = world.container(2), world.container(3)
    outside = world.outside()
    before = published(8053, 53, protocol=Protocol.UDP)
    after = published(8053, 53, number=3, protocol=Protocol.UDP)

    def send() -> None:
        with suppress(ConnectionRefusedError):  # the host's refusal of an earlier datagram
            client.send(b"ping")

    with (
        bind(one, 53, kind=socket.SOCK_DGRAM) as first,
        bind(other, 53, kind=socket.SOCK_DGRAM) as second,
        in_place(outside, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client,
    ):
        client.connect((str(WAN.ip), 8053))
        send()  # to a closed port: the kernel tracks that, too
        world.firewall.publish([before])
        send()
        send()
        assert first.recv(16) == b"ping"

        world.firewall.move([before], [after])
        send()

        assert second.recv(16) == b"ping"
