"""Test ``shipslog network``: networks from the command line."""

import pytest

from tests.api.clients import Client
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root


def test_a_network_is_made_joined_left_and_removed(shipslog: Client) -> None:
    made = shipslog.ok("network", "create", "--subnet", "10.200.7.0/24", "deck")
    shipslog.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    shipslog.ok("network", "connect", "--ip", "10.200.7.9", "--alias", "w", "deck", "web")

    assert len(made) == 64
    listed = shipslog.ok("network", "ls", "--format", "{{.Name}} {{.Driver}}").splitlines()
    assert listed == ["bridge bridge", "deck bridge", "host host", "none null"]
    assert "10.200.7.9/24" in shipslog.ok("network", "inspect", "deck")
    refused = shipslog("network", "rm", "deck")
    assert (refused.code, "has active endpoints" in refused.err) == (1, True)

    shipslog.ok("network", "disconnect", "deck", "web")
    assert shipslog.ok("network", "rm", "deck") == "deck"
    assert made[:12] not in shipslog.ok("network", "ls", "-q")


def test_a_network_of_both_kinds_of_addresses_is_typed_as_with_docker(
    client: Client, daemon: DaemonUnderTest
) -> None:
    words = (
        *("--ipv6", "--subnet", "10.200.8.0/24", "--subnet", "fd00:8::/64", "--attachable"),
        *("--gateway", "fd00:8::9", "--ip-range", "10.200.8.64/26", "--gateway", "10.200.8.9"),
        *("--aux-address", "router=10.200.8.64", "--aux-address", "printer=fd00:8::2"),
    )
    client.ok("network", "create", *words, "both")

    shown = daemon.api.get("/networks/both")

    assert shown["Attachable"] is True
    assert shown["IPAM"]["Config"] == [
        {
            "Subnet": "10.200.8.0/24",
            "IPRange": "10.200.8.64/26",
            "Gateway": "10.200.8.9",
            "AuxiliaryAddresses": {"router": "10.200.8.64"},
        },
        {
            "Subnet": "fd00:8::/64",
            "Gateway": "fd00:8::9",
            "AuxiliaryAddresses": {"printer": "fd00:8::2"},
        },
    ]
    lost = client("network", "create", "--subnet", "10.200.9.0/24", "--gateway", "10.9.9.9", "bad")
    assert (lost.code, "no matching subnet for gateway 10.9.9.9" in lost.err) == (1, True)
    assert client.ok("network", "prune", "-f").splitlines() == ["Deleted Networks:", "both"]


def test_an_endpoint_is_requested_with_all_its_options(
    client: Client, daemon: DaemonUnderTest
) -> None:
    client.ok("network", "create", "deck")
    client.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    option = "com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.arp_notify=1"

    client.ok("network", "connect", "--gw-priority", "5", "--driver-opt", option, "deck", "web")

    place = daemon.api.inspect("web")["NetworkSettings"]["Networks"]["deck"]
    assert (place["GwPriority"], place["DriverOpts"]) == (5, dict([option.split("=", 1)]))
    _, way = daemon.api.exec_output("web", "ip", "route", "show", "default")
    assert place["Gateway"] in way.decode()
    client.ok("network", "disconnect", "deck", "web")
    client.ok("network", "rm", "deck")


def test_a_link_is_asked_for_on_the_command_line(shipslog: Client) -> None:
    shipslog.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")

    assert "W_NAME=/guest/w" in shipslog.ok(
        "run", "--rm", "--name", "guest", "--link", "web:w", "busybox", "env"
    )
