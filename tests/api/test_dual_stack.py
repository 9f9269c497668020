"""Test networks of IPv4 and IPv6: addresses, names, published ports, and how they are shown."""

import socket
from collections.abc import Iterator
from functools import partial

import pytest

from tests.api.clients import Client
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

WEB = ("sh", "-c", "echo ahoy > /tmp/index.html; exec httpd -f -p 80 -h /tmp")
SUBNETS = [
    {"Subnet": "10.66.0.0/24", "IPRange": "10.66.0.128/25", "Gateway": "10.66.0.1"},
    {"Subnet": "fd00:66::/64"},
]


@pytest.fixture
def both(daemon: DaemonUnderTest) -> Iterator[DaemonUnderTest]:
    """Run a daemon with the network ``both``."""
    body = {"Name": "both", "EnableIPv6": True, "IPAM": {"Config": SUBNETS}}
    daemon.api.post("/networks/create", body)
    yield daemon
    for container in daemon.api.ps():
        daemon.api.remove(container["Id"])
    daemon.api.call("DELETE", "/networks/both")


def answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
            answer = b""
            while block := connection.recv(4096):
                answer += block
    except OSError:
        return False
    return answer.endswith(b"ahoy\n")


def test_a_container_has_an_address_of_each_and_its_port_is_published_on_each(
    both: DaemonUnderTest, docker: Client
) -> None:
    ports = {"PortBindings": {"80/tcp": [{"HostPort": "8088"}]}}
    web = both.api.run("web", *WEB, HostConfig={"NetworkMode": "both", **ports})

    place = both.api.inspect(web)["NetworkSettings"]["Networks"]["both"]
    assert (place["IPAddress"], place["IPPrefixLen"]) == ("10.66.0.128", 24)
    assert (place["GlobalIPv6Address"], place["GlobalIPv6PrefixLen"]) == ("fd00:66::2", 64)
    assert (place["Gateway"], place["IPv6Gateway"]) == ("10.66.0.1", "fd00:66::1")
    for host in ("127.0.0.1", "10.66.0.1", "fd00:66::1"):
        eventually(partial(answers, host, 8088), f"it answers at {host}")
    assert docker("port", "web").out == "80/tcp -> 0.0.0.0:8088\n80/tcp -> [::]:8088\n"
    assert "0.0.0.0:8088->80/tcp, [::]:8088->80/tcp" in docker("ps").out


def test_neighbours_find_each_other_by_both(both: DaemonUnderTest) -> None:
    both.api.run("web", *WEB, HostConfig={"NetworkMode": "both"})
    asker = both.api.run("asker", "sleep", "1000", HostConfig={"NetworkMode": "both"})

    for version, address in (("-4", "10.66.0.128"), ("-6", "fd00:66::2")):
        code, out = both.api.exec_output(asker, "ping", version, "-c", "1", "web")
        assert code == 0
        assert address in out.decode()


def test_requested_addresses_are_given_and_shown(both: DaemonUnderTest) -> None:
    fixed = {"IPAMConfig": {"IPv4Address": "10.66.0.9", "IPv6Address": "fd00:66::99"}}
    web = both.api.run(
        "web",
        *WEB,
        HostConfig={"NetworkMode": "both"},
        NetworkingConfig={"EndpointsConfig": {"both": fixed}},
    )

    place = both.api.inspect(web)["NetworkSettings"]["Networks"]["both"]
    assert (place["IPAddress"], place["GlobalIPv6Address"]) == ("10.66.0.9", "fd00:66::99")
    shown = both.api.get("/networks/both")
    assert shown["EnableIPv6"] is True
    (member,) = shown["Containers"].values()
    assert (member["IPv4Address"], member["IPv6Address"]) == ("10.66.0.9/24", "fd00:66::99/64")


def test_a_port_may_be_published_at_one_address_of_one_version(both: DaemonUnderTest) -> None:
    ports = {
        "PortBindings": {
            "80/tcp": [
                {"HostIp": "fd00:66::1", "HostPort": "8089"},
                {"HostIp": "127.0.0.1", "HostPort": "8090"},
            ]
        }
    }
    both.api.run("web", *WEB, HostConfig={"NetworkMode": "both", **ports})

    eventually(lambda: answers("fd00:66::1", 8089), "it answers by IPv6")
    eventually(lambda: answers("127.0.0.1", 8090), "it answers at localhost")
    assert not answers("127.0.0.1", 8089)
    assert not answers("fd00:66::1", 8090)
