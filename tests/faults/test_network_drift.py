"""Test networks that are changed by hand: they are repaired within two seconds, and connections
survive where they can.
"""

import json
import socket
import subprocess
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from engine.domain import naming
from engine.domain.ids import SandboxId
from tests.faults.conftest import STOPS_AT_ONCE
from tests.faults.repairs import NOTICED_S, is_repaired, network_is_repaired
from tests.harness.client import Json
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest
from tests.kernel.network_world import in_place

PORT: Final = 7000
PATIENCE_S: Final = 10.0
"""How long a connection may stall: TCP sends again after 0.2, 0.4, 0.8 … seconds."""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def nft(*arguments: str) -> None:
    subprocess.run(["nft", *arguments], check=True)


def sandbox_of(daemon: DaemonUnderTest, container: str) -> SandboxId:
    return SandboxId(daemon.api.inspect(container)["NetworkSettings"]["SandboxID"])


def pin_of(daemon: DaemonUnderTest, container: str) -> Path:
    return naming.sandbox_path(daemon.exec_root, sandbox_of(daemon, container))


def veth_of(daemon: DaemonUnderTest, container: str, slot: int = 0) -> str:
    return naming.host_veth(daemon.instance, sandbox_of(daemon, container), slot)


def place_of(daemon: DaemonUnderTest, container: str, network: str) -> Json:
    """Return the endpoint of a container in a network, from ``inspect``."""
    found: Json = daemon.api.inspect(container)["NetworkSettings"]["Networks"][network]
    return found


def pings(daemon: DaemonUnderTest, container: str, address: str) -> bool:
    return daemon.api.exec_output(container, "ping", "-c", "1", "-W", "1", address)[0] == 0


def reaches(daemon: DaemonUnderTest, one: str, other: str) -> bool:
    """True if a packet from one container comes back from another."""
    return pings(daemon, one, place_of(daemon, other, "bridge")["IPAddress"])


# --- The default network ---


def delete_veth(daemon: DaemonUnderTest, container: str) -> None:
    ip("link", "delete", veth_of(daemon, container))


def set_veth_down(daemon: DaemonUnderTest, container: str) -> None:
    ip("link", "set", veth_of(daemon, container), "down")


def unplug_veth(daemon: DaemonUnderTest, container: str) -> None:
    ip("link", "set", veth_of(daemon, container), "nomaster")


def unmount_pin(daemon: DaemonUnderTest, container: str) -> None:
    subprocess.run(["umount", "--lazy", pin_of(daemon, container)], check=True)


def unmount_and_delete_pin(daemon: DaemonUnderTest, container: str) -> None:
    pin = pin_of(daemon, container)
    subprocess.run(["umount", "--lazy", pin], check=True)
    pin.unlink()


@pytest.mark.parametrize(
    "damage", [delete_veth, set_veth_down, unplug_veth, unmount_pin, unmount_and_delete_pin]
)
def test_a_damaged_sandbox_is_repaired(
    daemon: DaemonUnderTest,
    pair: tuple[str, str],
    damage: Callable[[DaemonUnderTest, str], None],
) -> None:
    damage(daemon, pair[0])

    eventually(lambda: is_repaired(daemon, pair[0], "sandbox"), "repaired", within_s=NOTICED_S)
    assert reaches(daemon, pair[1], pair[0])
    assert reaches(daemon, *pair), "it is the container's own namespace"
    daemon.assert_settled()


def test_damage_done_while_the_daemon_was_down_is_repaired_at_its_start(
    daemon: DaemonUnderTest, pair: tuple[str, str]
) -> None:
    veth = veth_of(daemon, pair[0])
    daemon.kill()
    ip("link", "delete", veth)
    nft("delete", "table", "inet", naming.firewall_table(daemon.instance))

    daemon.start()

    eventually(lambda: is_repaired(daemon, pair[0], "sandbox"), "repaired", within_s=NOTICED_S)
    assert reaches(daemon, pair[1], pair[0])
    daemon.assert_settled()


def delete_bridge(daemon: DaemonUnderTest) -> None:
    ip("link", "delete", daemon.bridge)


def remove_bridge_address(daemon: DaemonUnderTest) -> None:
    ip("address", "flush", "dev", daemon.bridge)


def set_bridge_down(daemon: DaemonUnderTest) -> None:
    ip("link", "set", daemon.bridge, "down")


@pytest.mark.parametrize("damage", [delete_bridge, remove_bridge_address, set_bridge_down])
def test_a_damaged_bridge_is_repaired(
    daemon: DaemonUnderTest,
    pair: tuple[str, str],
    damage: Callable[[DaemonUnderTest], None],
) -> None:
    damage(daemon)

    eventually(lambda: network_is_repaired(daemon, "bridge"), "repaired", within_s=NOTICED_S)
    eventually(lambda: reaches(daemon, *pair), "they see each other again", within_s=NOTICED_S)
    gateway = daemon.api.get("/networks/bridge")["IPAM"]["Config"][0]["Gateway"]
    assert daemon.api.exec_output(pair[0], "ping", "-c", "1", "-W", "1", gateway)[0] == 0
    daemon.assert_settled()


def ruleset(daemon: DaemonUnderTest) -> list[Json]:
    """Return the instance's table without the kernel's handles and in a fixed order."""
    table = naming.firewall_table(daemon.instance)
    listed = subprocess.run(
        ["nft", "--json", "--stateless", "list", "table", "inet", table],
        check=False,
        capture_output=True,
        text=True,
    )
    entries = json.loads(listed.stdout or "{}").get("nftables", [])
    return [_constant(entry) for entry in entries if "metainfo" not in entry]


def _constant(entry: Json) -> Json:
    return {
        kind: {
            key: sorted(value, key=str) if key == "elem" else value
            for key, value in about.items()
            if key != "handle"
        }
        for kind, about in entry.items()
    }


def flush_ruleset(daemon: DaemonUnderTest) -> None:
    nft("flush", "ruleset")


def flush_table(daemon: DaemonUnderTest) -> None:
    nft("flush", "table", "inet", naming.firewall_table(daemon.instance))


def delete_table(daemon: DaemonUnderTest) -> None:
    nft("delete", "table", "inet", naming.firewall_table(daemon.instance))


@pytest.mark.parametrize("damage", [flush_ruleset, flush_table, delete_table])
def test_the_firewall_is_restored_after_a_change_by_hand(
    daemon: DaemonUnderTest, damage: Callable[[DaemonUnderTest], None]
) -> None:
    """casebook 24."""
    web = daemon.api.run(
        "web",
        *("sh", "-c", "echo served > /index.html; exec httpd -f -p 80 -h /"),
        HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}},
        ExposedPorts={"80/tcp": {}},
    )
    eventually(lambda: fetch(8080) == b"served\n", "the published port works", catch=OSError)
    before = ruleset(daemon)

    damage(daemon)

    eventually(lambda: ruleset(daemon) == before, "equal again", within_s=NOTICED_S)
    eventually(lambda: network_is_repaired(daemon, "firewall"), "it is logged", within_s=NOTICED_S)
    eventually(lambda: fetch(8080) == b"served\n", "the port works again", catch=OSError)
    daemon.api.remove(web)
    assert str(8080) not in json.dumps(ruleset(daemon))


def fetch(port: int) -> bytes:
    """Return the container's answer on a published port of the host."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
        answer = b""
        while block := connection.recv(4096):
            answer += block
    return answer.partition(b"\r\n\r\n")[2]


# --- Several networks, IPv6 among them ---


@pytest.fixture
def neighbours(daemon: DaemonUnderTest, pair: tuple[str, str]) -> tuple[str, str]:
    """Run two containers that reach each other in two networks."""
    daemon.api.post("/networks/create", {"Name": "front", "EnableIPv6": True})
    for container in pair:
        daemon.api.post("/networks/front/connect", {"Container": container})
    assert reach_each_other(daemon, *pair)
    return pair


def reach_each_other(daemon: DaemonUnderTest, one: str, other: str) -> bool:
    place = place_of(daemon, other, "front")
    ways = (place["IPAddress"], place["GlobalIPv6Address"])
    return reaches(daemon, one, other) and all(pings(daemon, one, way) for way in ways)


def inside(*arguments: str) -> Callable[[DaemonUnderTest, str], None]:
    """Run ip(8) in a container's network."""

    def damage(daemon: DaemonUnderTest, container: str) -> None:
        place = f"--net={pin_of(daemon, container)}"
        subprocess.run(["nsenter", place, "ip", *arguments], check=True)

    return damage


def delete_second_veth(daemon: DaemonUnderTest, container: str) -> None:
    ip("link", "delete", veth_of(daemon, container, 1))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(delete_second_veth, id="veth"),
        pytest.param(inside("link", "set", "eth1", "down"), id="link"),
        pytest.param(inside("-4", "address", "flush", "dev", "eth1"), id="address"),
        pytest.param(inside("-6", "address", "flush", "dev", "eth1"), id="address of IPv6"),
        pytest.param(inside("route", "delete", "default"), id="route"),
        pytest.param(inside("-6", "route", "delete", "default"), id="route of IPv6"),
        pytest.param(unmount_pin, id="namespace's mount"),
    ],
)
def test_a_sandbox_in_two_networks_is_repaired(
    daemon: DaemonUnderTest,
    neighbours: tuple[str, str],
    damage: Callable[[DaemonUnderTest, str], None],
) -> None:
    _, routes = daemon.api.exec_output(neighbours[0], "ip", "route")
    _, routes6 = daemon.api.exec_output(neighbours[0], "ip", "-6", "route", "show", "default")

    damage(daemon, neighbours[0])

    eventually(
        lambda: is_repaired(daemon, neighbours[0], "sandbox"), "it is logged", within_s=NOTICED_S
    )
    eventually(lambda: reach_each_other(daemon, *neighbours), "reached", within_s=NOTICED_S)
    assert daemon.api.exec_output(neighbours[0], "ip", "route")[1] == routes
    assert (
        daemon.api.exec_output(neighbours[0], "ip", "-6", "route", "show", "default")[1] == routes6
    )
    daemon.assert_settled()


def bridge_of_front(daemon: DaemonUnderTest) -> str:
    return f"br-{daemon.api.get('/networks/front')['Id'][:12]}"


def delete_second_bridge(daemon: DaemonUnderTest) -> None:
    ip("link", "delete", bridge_of_front(daemon))


def remove_second_bridges_ipv6(daemon: DaemonUnderTest) -> None:
    ip("-6", "address", "flush", "dev", bridge_of_front(daemon))


@pytest.mark.parametrize("damage", [delete_second_bridge, remove_second_bridges_ipv6])
def test_a_second_networks_bridge_is_repaired(
    daemon: DaemonUnderTest,
    neighbours: tuple[str, str],
    damage: Callable[[DaemonUnderTest], None],
) -> None:
    damage(daemon)

    eventually(lambda: network_is_repaired(daemon, "bridge"), "it is logged", within_s=NOTICED_S)
    eventually(lambda: reach_each_other(daemon, *neighbours), "reached", within_s=NOTICED_S)
    gateway = place_of(daemon, neighbours[0], "front")["IPv6Gateway"]
    assert pings(daemon, neighbours[0], gateway)
    daemon.assert_settled()


def filled_sets(daemon: DaemonUnderTest) -> list[tuple[str, str]]:
    """Return kind and name of every set and map that has elements."""
    return [
        (kind, each["name"])
        for entry in ruleset(daemon)
        for kind, each in entry.items()
        if kind in ("set", "map") and each.get("elem")
    ]


def test_elements_of_the_firewall_come_back_and_removed_networks_do_not(
    daemon: DaemonUnderTest, neighbours: tuple[str, str]
) -> None:
    """casebook 24."""
    daemon.api.post("/networks/create", {"Name": "gone"})
    bound = {"NetworkMode": "gone", "PortBindings": {"80/tcp": [{"HostPort": "8099"}]}}
    daemon.api.remove(daemon.api.run("leaver", *STOPS_AT_ONCE, HostConfig=bound))
    gone = f"br-{daemon.api.get('/networks/gone')['Id'][:12]}"
    daemon.api.call("DELETE", "/networks/gone")
    bound = {"NetworkMode": "front", "PortBindings": {"80/tcp": [{"HostPort": "8098"}]}}
    daemon.api.run("web", *STOPS_AT_ONCE, HostConfig=bound)
    before = ruleset(daemon)
    table = naming.firewall_table(daemon.instance)

    for kind, name in filled_sets(daemon):
        nft("flush", kind, "inet", table, name)
        eventually(lambda: ruleset(daemon) == before, f"{name} is full again", within_s=NOTICED_S)
    nft("flush", "ruleset")
    eventually(lambda: ruleset(daemon) == before, "equal again", within_s=NOTICED_S)

    assert len(filled_sets(daemon)) > 3
    assert gone not in json.dumps(ruleset(daemon))
    assert bridge_of_front(daemon) in json.dumps(ruleset(daemon))


def test_a_start_before_the_sweep_notices_the_damage_still_gets_its_port(
    daemon: DaemonUnderTest,
) -> None:
    for number, damage in enumerate((delete_table, flush_ruleset, flush_table)):
        damage(daemon)
        daemon.api.post("/networks/create", {"Name": f"net{number}"})
        damage(daemon)
        bound = {"PortBindings": {"80/tcp": [{"HostPort": f"809{number}"}]}}
        daemon.api.run(f"web{number}", *STOPS_AT_ONCE, HostConfig=bound)

    assert all(f"809{number}" in json.dumps(ruleset(daemon)) for number in range(3))
    eventually(lambda: network_is_repaired(daemon, "firewall"), "it is logged", within_s=NOTICED_S)
    daemon.assert_settled()


def flush_firewall(daemon: DaemonUnderTest, _container: str) -> None:
    nft("flush", "ruleset")


def delete_both_bridges(daemon: DaemonUnderTest, _container: str) -> None:
    delete_bridge(daemon)
    delete_second_bridge(daemon)


@pytest.mark.parametrize(
    "damage", [delete_second_veth, unmount_pin, flush_firewall, delete_both_bridges]
)
def test_connections_survive_the_damage_and_its_repair(
    daemon: DaemonUnderTest,
    neighbours: tuple[str, str],
    damage: Callable[[DaemonUnderTest, str], None],
) -> None:
    one, other = (pin_of(daemon, each) for each in neighbours)
    address = (place_of(daemon, neighbours[1], "front")["IPAddress"], PORT)
    with (
        closing(in_place(other, partial(socket.create_server, address))) as server,
        closing(in_place(one, partial(socket.create_connection, address, PATIENCE_S))) as client,
        closing(server.accept()[0]) as served,
    ):
        damage(daemon, neighbours[0])
        client.sendall(b"are you there?")
        served.settimeout(PATIENCE_S)

        assert served.recv(64) == b"are you there?"
    daemon.assert_settled()
