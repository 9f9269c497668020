"""Test several networks of both IP versions behind one firewall: what they reach, what reaches
them, and under which address.

web .2 ── front 10.1.0.1, fd00:1::1 ──┐
job .2 ── back  10.2.0.1, fd00:2::1 ──┼── host · wan 192.0.2.1, 2001:db8::1 ── 192.0.2.2, 2001:db8::2 machine
box .2 ── inner 10.3.0.1, fd00:3::1 ──┘   (internal)
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, ip_address, ip_interface
from pathlib import Path

import pytest

from engine.domain import naming
from engine.domain.container.attachment import mac_address
from engine.domain.ids import SandboxId
from engine.drivers.networks import netns, rtnetlink
from engine.drivers.networks.bridge import Bridge
from engine.drivers.networks.netlink import NetlinkSocket
from engine.drivers.networks.ruleset import (
    ANY_ADDRESS,
    ANY_ADDRESS_6,
    BridgeRules,
    FirewallPlan,
    Protocol,
    PublishedPort,
)
from engine.drivers.networks.sandbox import Endpoint, Sandbox
from tests.kernel.network_world import (
    INSTANCE,
    PATIENCE_S,
    SILENCE_S,
    World,
    in_place,
    new_world,
)

pytestmark = pytest.mark.root

VERSIONS = (4, 6)
NETWORKS = {"web": 1, "job": 2, "box": 3}
WAN = {4: "192.0.2.1", 6: "2001:db8::1"}
MACHINE = {4: "192.0.2.2", 6: "2001:db8::2"}
TABLE = naming.firewall_table(INSTANCE)
both_versions = pytest.mark.parametrize("version", VERSIONS)


def address(name: str, version: int, number: int = 2) -> str:
    net = NETWORKS[name]
    return f"10.{net}.0.{number}" if version == 4 else f"fd00:{net}::{number}"


def bridge(name: str) -> Bridge:
    net = NETWORKS[name]
    return Bridge(
        f"sl{name}",
        (ip_interface(f"10.{net}.0.1/24"), ip_interface(f"fd00:{net}::1/64")),
        internal=name == "box",
    )


def rules(name: str, **options: bool) -> BridgeRules:
    subnets = tuple(each.network for each in bridge(name).addresses)
    return BridgeRules(f"sl{name}", subnets, internal=name == "box", **options)


def published(version: int, port: int = 80, at: str = "") -> PublishedPort:
    """Return port 8080 of the host, leading to ``web``."""
    anywhere = ANY_ADDRESS if version == 4 else ANY_ADDRESS_6
    return PublishedPort(
        Protocol.TCP,
        ip_address(at) if at else anywhere,
        8080,
        ip_address(address("web", version)),
        port,
    )


@dataclass
class Machines:
    """All machines by name; ``host`` is here."""

    world: World
    places: dict[str, Path | None]

    def meet(self) -> None:
        """Exchange hardware addresses between the host and all machines: in IPv6 that may take a
        second.
        """
        for version in VERSIONS:
            with self.listen("host", 7, version) as host:
                gateways = {name: address(name, version, 1) for name in NETWORKS}
                for name, gateway in (*gateways.items(), ("machine", WAN[version])):
                    assert self.calls(name, gateway, 7, host, PATIENCE_S), name

    def listen(self, name: str, port: int, version: int) -> socket.socket:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        server = in_place(self.places[name], lambda: socket.socket(family))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("0.0.0.0" if version == 4 else "::", port))
        server.listen()
        server.settimeout(PATIENCE_S)
        return server

    def calls(
        self,
        name: str,
        target: str,
        port: int,
        server: socket.socket,
        patience_s: float = SILENCE_S,
    ) -> str:
        """Return the caller's address as the server sees it; empty if there is no answer."""
        with in_place(self.places[name], lambda: socket.socket(server.family)) as client:
            client.settimeout(patience_s)
            try:
                client.connect((target, port))
            except OSError:
                return ""
            connection, caller = server.accept()
            connection.close()
            return str(caller[0])


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with new_world(tmp_path) as world:
        places: dict[str, Path | None] = {"host": None, "machine": _machine(world)}
        for number, name in enumerate(NETWORKS):
            world.network.ensure_bridge(bridge(name))
            sandbox = _sandbox(name, number)
            world.network.prepare_sandbox(sandbox)
            places[name] = world.place(sandbox)
        world.firewall.apply(FirewallPlan(frozenset(map(rules, NETWORKS))))
        machines = Machines(world, places)
        machines.meet()
        yield machines


def _sandbox(name: str, number: int) -> Sandbox:
    endpoint = Endpoint(
        bridge=bridge(name).name,
        slot=0,
        addresses=tuple(
            ip_interface(f"{address(name, each.version)}/{each.network.prefixlen}")
            for each in bridge(name).addresses
        ),
        mac=mac_address(address(name, 4)),
        gateways=tuple(each.ip for each in bridge(name).addresses),
    )
    return Sandbox(SandboxId(f"{number + 1}" * 16), (endpoint,))


def _machine(world: World) -> Path:
    """Make another machine on the host's uplink, which would route anything to the host."""
    place = world.outside()
    wan = rtnetlink.find_link(world.kernel, "wan")
    assert wan is not None
    six = ip_interface(f"{WAN[6]}/64")
    world.kernel.transact([rtnetlink.add_address(wan.index, six)])

    def settle() -> None:
        with NetlinkSocket() as inside:
            eth0 = rtnetlink.find_link(inside, "eth0")
            assert eth0 is not None
            inside.transact(
                [
                    rtnetlink.add_address(eth0.index, ip_interface(f"{MACHINE[6]}/64")),
                    rtnetlink.replace_default_route(eth0.index, IPv4Interface(WAN[4]).ip),
                    rtnetlink.replace_default_route(eth0.index, six.ip),
                ]
            )

    in_place(place, settle)
    return place


@both_versions
def test_a_published_port_is_reached_from_everywhere_and_the_caller_is_kept(
    machines: Machines, version: int
) -> None:
    machines.world.firewall.publish([published(version)])

    with machines.listen("web", 80, version) as web:
        assert machines.calls("machine", WAN[version], 8080, web) == MACHINE[version]
        assert machines.calls("host", WAN[version], 8080, web)
        for caller in ("web", "job"):
            assert machines.calls(caller, WAN[version], 8080, web), caller
            own_gateway = address(caller, version, 1)
            assert machines.calls(caller, own_gateway, 8080, web), caller
        if version == 4:
            assert machines.calls("host", "127.0.0.1", 8080, web)


@both_versions
def test_datagrams_of_one_client_follow_a_published_port_that_leads_elsewhere(
    machines: Machines, version: int
) -> None:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    before = replace(published(version, 53), protocol=Protocol.UDP)
    after = replace(before, address=ip_address(address("job", version)))

    def at(name: str) -> socket.socket:
        return in_place(machines.places[name], lambda: socket.socket(family, socket.SOCK_DGRAM))

    with at("web") as first, at("job") as second, at("machine") as client:
        for server, name in ((first, "web"), (second, "job")):
            server.bind((address(name, version), 53))
            server.settimeout(PATIENCE_S)
        client.connect((WAN[version], 8080))
        machines.world.firewall.publish([before])
        client.send(b"ping")
        assert first.recv(16) == b"ping"

        machines.world.firewall.move([before], [after])
        client.send(b"ping")

        assert second.recv(16) == b"ping"


@both_versions
def test_networks_are_apart_and_so_are_machines_that_route_to_them(
    machines: Machines, version: int
) -> None:
    web = address("web", version)
    with machines.listen("web", 80, version) as server:
        for stranger in ("job", "box", "machine"):
            assert not machines.calls(stranger, web, 80, server), stranger
        assert machines.calls("host", web, 80, server)


@both_versions
def test_containers_reach_other_hosts_with_the_hosts_address_unless_internal(
    machines: Machines, version: int
) -> None:
    with machines.listen("machine", 80, version) as server:
        assert machines.calls("web", MACHINE[version], 80, server) == WAN[version]
        assert not machines.calls("box", MACHINE[version], 80, server)


@both_versions
def test_nothing_published_is_reached_from_an_internal_network(
    machines: Machines, version: int
) -> None:
    machines.world.firewall.publish([published(version)])

    with machines.listen("web", 80, version) as server:
        assert not machines.calls("box", address("box", version, 1), 8080, server)
        assert not machines.calls("box", WAN[version], 8080, server)


@both_versions
def test_packets_with_forged_addresses_do_not_leave_a_container(
    machines: Machines, version: int
) -> None:
    """Even with the address of a neighbour's network: no answer would come back, but the packet
    might do harm.
    """
    place = machines.places["web"]
    assert place is not None
    forged = ip_interface("10.2.0.77/32" if version == 4 else "fd00:2::77/128")

    def take_it() -> None:
        with NetlinkSocket() as inside:
            eth0 = rtnetlink.find_link(inside, "eth0")
            assert eth0 is not None
            inside.transact([rtnetlink.add_address(eth0.index, forged)])

    in_place(place, take_it)
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with ExitStack() as stack:
        receiver = stack.enter_context(
            in_place(machines.places["machine"], lambda: socket.socket(family, socket.SOCK_DGRAM))
        )
        receiver.bind(("", 9))
        receiver.settimeout(SILENCE_S)
        for source, arrives in ((str(forged.ip), False), (address("web", version), True)):
            sender = stack.enter_context(
                in_place(place, lambda: socket.socket(family, socket.SOCK_DGRAM))
            )
            sender.bind((source, 0))
            sender.sendto(b"x", (MACHINE[version], 9))
            try:
                receiver.recv(16)
            except TimeoutError:
                assert not arrives, source
            else:
                assert arrives, source


@both_versions
def test_a_port_published_at_one_address_is_published_there_alone(
    machines: Machines, version: int
) -> None:
    machines.world.firewall.publish([published(version, at=WAN[version])])

    with machines.listen("web", 80, version) as server:
        assert machines.calls("machine", WAN[version], 8080, server) == MACHINE[version]
        assert not machines.calls("web", address("web", version, 1), 8080, server)


def test_a_neighbour_does_not_reach_what_is_published_at_localhost(machines: Machines) -> None:
    machines.world.firewall.publish([published(4, at="127.0.0.1")])
    machine = machines.places["machine"]
    assert machine is not None
    gateway = rtnetlink.find_link(machines.world.kernel, "wan")
    assert gateway is not None
    Path("/proc/sys/net/ipv4/conf/wan/route_localnet").write_text("1\n")  # an administrator's

    with machines.listen("web", 80, 4) as server:
        assert machines.calls("host", "127.0.0.1", 8080, server)
        assert not machines.calls("machine", WAN[4], 8080, server)
        in_place(machine, lambda: _route_localhost(machine))
        assert not machines.calls("machine", "127.0.0.1", 8080, server)


def _route_localhost(place: Path) -> None:
    """Route 127.0.0.1 to the neighbour, as an attacker would."""
    netns.enter(place)
    Path("/proc/sys/net/ipv4/conf/eth0/route_localnet").write_text("1\n")
    with NetlinkSocket() as inside:
        lo = rtnetlink.find_link(inside, "lo")
        eth0 = rtnetlink.find_link(inside, "eth0")
        assert lo is not None
        assert eth0 is not None
        inside.transact(
            [
                rtnetlink.change_link(lo.index, up=False),
                rtnetlink.add_address(eth0.index, IPv4Interface("127.0.0.9/8")),
            ]
        )


@both_versions
def test_creating_and_removing_a_network_leaves_the_others_alone(
    machines: Machines, version: int
) -> None:
    firewall = machines.world.firewall
    firewall.publish([published(version)])
    all_of_them = frozenset(map(rules, NETWORKS))

    firewall.remove_bridge(rules("job"))
    firewall.remove_bridge(rules("job"))
    assert firewall.is_right(
        FirewallPlan(all_of_them - {rules("job")}, frozenset({published(version)}))
    )
    firewall.add_bridge(rules("job"))

    assert firewall.is_right(FirewallPlan(all_of_them, frozenset({published(version)})))
    with machines.listen("web", 80, version) as server:
        assert not machines.calls("job", address("web", version), 80, server)
        assert machines.calls("machine", WAN[version], 8080, server)
