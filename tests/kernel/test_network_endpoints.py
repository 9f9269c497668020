"""Test sandboxes with several interfaces, of both IP versions, which come and go while the
container runs.
"""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from engine.domain import naming
from engine.domain.ids import SandboxId
from engine.drivers.networks.bridge import Bridge
from engine.drivers.networks.sandbox import Endpoint, Sandbox
from engine.drivers.networks.sandbox_driver import NetworkDriver
from engine.drivers.networks.watch import Watch
from engine.errors import DriverError
from tests.kernel.network_world import (
    INSTANCE,
    World,
    bind,
    in_place,
    new_world,
    wait_until,
    witness,
)

pytestmark = pytest.mark.root

FRONT = Bridge("slfront", (ip_interface("10.1.0.1/24"), ip_interface("fd00:1::1/64")))
BACK = Bridge("slback", (ip_interface("10.2.0.1/24"),), internal=True)
ONE = SandboxId("1" * 16)
TWO = SandboxId("2" * 16)
IPV4_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
IPV6_FORWARDING = Path("/proc/sys/net/ipv6/conf/all/forwarding")


def front(number: int, slot: int = 0, *, leads: bool = True) -> Endpoint:
    return Endpoint(
        bridge=FRONT.name,
        slot=slot,
        addresses=(ip_interface(f"10.1.0.{number}/24"), ip_interface(f"fd00:1::{number}/64")),
        mac=f"02:42:0a:01:00:{number:02x}",
        gateways=(ip_address("10.1.0.1"), ip_address("fd00:1::1")) if leads else (),
    )


def back(number: int, slot: int = 1) -> Endpoint:
    return Endpoint(
        bridge=BACK.name,
        slot=slot,
        addresses=(ip_interface(f"10.2.0.{number}/24"),),
        mac=f"02:42:0a:02:00:{number:02x}",
    )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world(tmp_path) as made:
        made.network.ensure_bridge(FRONT)
        made.network.ensure_bridge(BACK)
        yield made


def seen(world: World, sandbox: Sandbox) -> dict[str, set[str]]:
    """Return interfaces except ``lo``, each with its addresses that are not link-local, from
    iproute2.
    """

    return {
        link["ifname"]: {each["local"] for each in link["addr_info"] if each["scope"] == "global"}
        for link in witness(world.place(sandbox), "address", "show")
        if link["ifname"] != "lo"
    }


def default_gateways(world: World, sandbox: Sandbox) -> set[str]:
    return {
        route["gateway"]
        for family in ("-4", "-6")
        for route in witness(world.place(sandbox), family, "route", "show", "default")
        if "gateway" in route
    }


def sysctl(world: World, sandbox: Sandbox, name: str) -> str:
    path = Path("/proc/sys/net") / name
    return in_place(world.place(sandbox), path.read_text).strip()


def test_each_endpoint_has_its_addresses_and_the_leading_one_the_default_route(
    world: World,
) -> None:
    wanted = Sandbox(ONE, (front(2), back(2)))

    world.network.prepare_sandbox(wanted)

    assert seen(world, wanted) == {"eth0": {"10.1.0.2", "fd00:1::2"}, "eth1": {"10.2.0.2"}}
    assert default_gateways(world, wanted) == {"10.1.0.1", "fd00:1::1"}
    assert world.faults(wanted) == ()


def test_neighbours_reach_each_other_by_ipv6_at_once(world: World) -> None:
    one, two = Sandbox(ONE, (front(2),)), Sandbox(TWO, (front(3),))
    world.network.prepare_sandboxes((one, two))

    server = in_place(
        world.place(one), lambda: socket.create_server(("fd00:1::2", 80), family=socket.AF_INET6)
    )
    client = in_place(world.place(two), lambda: socket.socket(socket.AF_INET6))
    with server, client:
        client.settimeout(5)
        client.connect(("fd00:1::2", 80))
        connection, caller = server.accept()
        connection.close()
        assert caller[0] == "fd00:1::3"


def test_router_advertisements_from_a_bridge_are_ignored(world: World) -> None:
    wanted = Sandbox(ONE, (front(2), back(2)))
    world.network.prepare_sandbox(wanted)

    assert sysctl(world, wanted, "ipv6/conf/eth0/accept_ra") == "0"
    assert sysctl(world, wanted, "ipv6/conf/eth0/disable_ipv6") == "0"
    assert sysctl(world, wanted, "ipv6/conf/eth1/disable_ipv6") == "1"


def test_connecting_and_disconnecting_leaves_the_other_interfaces_connections_alone(
    world: World,
) -> None:
    alone = Sandbox(ONE, (back(2, slot=0),))
    neighbour = Sandbox(TWO, (back(3, slot=0),))
    world.network.prepare_sandboxes((alone, neighbour))
    with ExitStack() as stack:
        server = stack.enter_context(bind(world.place(neighbour), 80, "10.2.0.3"))
        client = stack.enter_context(in_place(world.place(alone), socket.socket))
        client.settimeout(5)
        client.connect(("10.2.0.3", 80))
        connection = stack.enter_context(server.accept()[0])

        for wanted in (Sandbox(ONE, (back(2, slot=0), front(2, slot=1))), alone):
            assert world.faults(wanted) or wanted is alone
            world.network.prepare_sandbox(wanted)

            assert world.faults(wanted) == ()
            client.send(b"still here")
            assert connection.recv(16) == b"still here"

    assert seen(world, alone) == {"eth0": {"10.2.0.2"}}
    assert naming.host_veth(INSTANCE, ONE, 1) not in world.links()


def test_the_default_route_moves_when_another_endpoint_leads(world: World) -> None:
    other = replace(front(2), bridge=BACK.name, slot=1, addresses=back(2).addresses)
    other = replace(other, gateways=(ip_address("10.2.0.1"),))
    world.network.prepare_sandbox(Sandbox(ONE, (front(2), back(2))))

    moved = Sandbox(ONE, (front(2, leads=False), other))
    assert world.faults(moved) == ("eth1 lost its default route",)
    world.network.prepare_sandbox(moved)

    assert "10.2.0.1" in default_gateways(world, moved)
    assert "10.1.0.1" not in default_gateways(world, moved)


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        (("link", "delete", "eth1"), "is gone"),
        (("address", "delete", "fd00:1::2/64", "dev", "eth0"), "eth0 lost fd00:1::2/64"),
        (("-6", "route", "delete", "default"), "eth0 lost its default route"),
        (("link", "set", "eth0", "down"), "eth0 is down"),
    ],
)
def test_damage_inside_is_found_and_repaired(
    world: World, what: tuple[str, ...], fault: str
) -> None:
    wanted = Sandbox(ONE, (front(2), back(2)))
    world.network.prepare_sandbox(wanted)

    in_place(world.place(wanted), lambda: subprocess.run(["ip", *what], check=True))

    assert any(fault in each for each in world.faults(wanted))
    world.network.prepare_sandbox(wanted)
    assert world.faults(wanted) == ()


def test_queries_to_the_resolver_are_redirected_and_port_53_stays_free(world: World) -> None:
    wanted = Sandbox(ONE, (front(2),), resolver=True)
    world.network.prepare_sandbox(wanted)
    place = world.place(wanted)

    with (
        bind(place, 53, kind=socket.SOCK_DGRAM),
        bind(place, 61053, "127.0.0.11", kind=socket.SOCK_DGRAM) as resolver,
        in_place(place, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client,
    ):
        client.settimeout(5)
        client.connect(("127.0.0.11", 53))
        client.send(b"who?")
        question, asker = resolver.recvfrom(16)
        resolver.sendto(b"me", asker)
        assert (question, client.recv(16)) == (b"who?", b"me")

    in_place(place, lambda: subprocess.run(["nft", "flush", "ruleset"], check=True))
    assert world.faults(wanted) == ("the way to the resolver is gone",)
    world.network.prepare_sandbox(wanted)
    assert world.faults(wanted) == ()


def test_an_endpoints_sysctls_are_set_on_its_interface_and_on_nothing_else(world: World) -> None:
    setting = ("net.ipv4.conf.IFNAME.log_martians", "1")
    wanted = Sandbox(ONE, (front(2), replace(back(2), sysctls=(setting,))))
    world.network.prepare_sandbox(wanted)

    assert sysctl(world, wanted, "ipv4/conf/eth1/log_martians") == "1"
    assert sysctl(world, wanted, "ipv4/conf/eth0/log_martians") == "0"

    for name in ("kernel.hostname", "net.ipv4.conf.IFNAME.nosuch", "net/../kernel.hostname"):
        wrong = Sandbox(TWO, (replace(front(3), sysctls=((name, "x"),)),))
        with pytest.raises(DriverError, match="sysctl"):
            world.network.prepare_sandbox(wrong)
        assert TWO not in world.network.owned_sandboxes()


def test_forwarding_is_enabled_only_for_networks_that_are_not_internal(tmp_path: Path) -> None:
    with new_world(tmp_path) as made:
        made.network.ensure_bridge(BACK)
        assert (IPV4_FORWARDING.read_text(), IPV6_FORWARDING.read_text()) == ("0\n", "0\n")
        only_ipv4 = replace(FRONT, addresses=FRONT.addresses[:1])
        made.network.ensure_bridge(only_ipv4)
        assert (IPV4_FORWARDING.read_text(), IPV6_FORWARDING.read_text()) == ("1\n", "0\n")
        made.network.ensure_bridge(FRONT)
        assert IPV6_FORWARDING.read_text() == "1\n"


def test_the_hosts_links_go_on_learning_routes_when_ipv6_is_forwarded(tmp_path: Path) -> None:
    with new_world(tmp_path) as made:
        made.outside()
        learning = Path("/proc/sys/net/ipv6/conf/wan/accept_ra")
        assert learning.read_text() == "1\n"

        made.network.ensure_bridge(FRONT)

        assert learning.read_text() == "2\n"


@pytest.mark.parametrize("is_new", [False, True])
def test_an_interface_is_removed_even_if_its_namespace_stays_open(
    world: World, monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    """Tested with the daemon that made it, and with another one."""
    monkeypatch.setattr("engine.drivers.networks.sandbox_driver._DISMANTLING_S", 0.0)
    last = replace(front(3, slot=2), gateways=())
    world.network.prepare_sandbox(Sandbox(ONE, (front(2), back(2), last)))
    world.network.prepare_sandbox(Sandbox(ONE, (last,)))
    driver = NetworkDriver(INSTANCE, world.exec_root) if is_new else world.network
    with in_place(world.place(Sandbox(ONE)), socket.socket):
        driver.remove_sandbox(ONE)
        driver.remove_sandboxes(driver.owned_sandboxes())

        assert world.links() == {"lo", FRONT.name, BACK.name}
    if is_new:
        driver.close()


def test_nothing_is_left_of_a_sandbox_with_several_interfaces(world: World) -> None:
    wanted = Sandbox(ONE, (front(2), back(2), replace(front(3, slot=2), gateways=())))
    world.network.prepare_sandbox(wanted)

    with Watch() as watch:
        world.network.remove_sandbox(ONE)

        assert world.network.owned_sandboxes() == set()
        wait_until(lambda: world.links() == {"lo", FRONT.name, BACK.name}, watch)
