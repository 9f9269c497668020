"""Test addresses: in order, each given once, given back, and none that the host needs elsewhere."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.harness.client import Api, Json, Refused
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

WAITING = ("sleep", "1000")
AT_ONCE = 20
SYSCTLS = "com.docker.network.endpoint.sysctls"


@pytest.fixture
def api(daemon: DaemonUnderTest) -> Iterator[Api]:
    yield daemon.api
    for container in daemon.api.ps():
        daemon.api.remove(container["Id"])
    daemon.api.post("/networks/prune")


def network(api: Api, name: str, subnet: str = "", **fields: object) -> str:
    ipam = {"Config": [{"Subnet": subnet}]} if subnet else {}
    made: Json = api.post("/networks/create", {"Name": name, "IPAM": ipam, **fields}).json
    return str(made["Id"])


def address(api: Api, container: str, name: str) -> str:
    return str(api.inspect(container)["NetworkSettings"]["Networks"][name]["IPAddress"])


def test_containers_started_at_once_have_addresses_of_their_own(api: Api) -> None:
    network(api, "front", "10.91.0.0/24")
    names = [f"web{number}" for number in range(AT_ONCE)]
    for name in names:
        api.create(name, *WAITING, HostConfig={"NetworkMode": "front"})

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(api.start, names))

    given = sorted(ip_address(address(api, name, "front")) for name in names)
    assert given == [ip_address("10.91.0.2") + number for number in range(AT_ONCE)]


def test_a_full_network_is_reported_until_an_address_is_free(api: Api) -> None:
    identity = network(api, "small", "10.92.0.0/29")
    for number in range(5):
        api.run(f"web{number}", *WAITING, HostConfig={"NetworkMode": "small"})
    api.create("late", *WAITING, HostConfig={"NetworkMode": "small"})

    with pytest.raises(Refused) as refusal:
        api.start("late")

    assert "no available IPv4 addresses on this network's address pools" in refusal.value.message
    assert f"small ({identity})" in refusal.value.message
    assert api.status("late") == "created"
    api.remove("web3")
    api.start("late")
    assert address(api, "late", "small") == "10.92.0.5"


def test_subnets_that_the_host_routes_are_not_chosen(api: Api) -> None:
    subprocess.run(["ip", "route", "add", "blackhole", "172.18.0.0/15"], check=True)
    try:
        network(api, "found")
    finally:
        subprocess.run(["ip", "route", "delete", "blackhole", "172.18.0.0/15"], check=True)

    (pool,) = api.get("/networks/found")["IPAM"]["Config"]
    assert pool["Subnet"] == "172.20.0.0/16"


def test_pools_are_configured(throwaway_namespaces: None) -> None:
    """The default network takes one of the two subnets that there are."""
    place = Path(tempfile.mkdtemp(prefix="sl-"))
    options = ("--default-address-pool", "base=10.123.0.0/22,size=23")
    try:
        with DaemonUnderTest(place, *options) as daemon:
            api = daemon.start().api
            network(api, "one")
            pools = [api.get(f"/networks/{name}")["IPAM"]["Config"] for name in ("bridge", "one")]
            with pytest.raises(Refused) as refusal:
                network(api, "two")
            api.post("/networks/prune")
    finally:
        shutil.rmtree(place)

    assert [pool["Subnet"] for (pool,) in pools] == ["10.123.0.0/23", "10.123.2.0/23"]
    assert "could not find an available, non-overlapping IPv4 address pool" in refusal.value.message


def test_the_default_route_uses_the_network_of_the_highest_priority(api: Api) -> None:
    for number, name in enumerate(("aa", "bb", "cc")):
        network(api, name, f"10.93.{number}.0/24")
    priorities = {"aa": 0, "bb": 7, "cc": 3}
    places = {name: {"GwPriority": priority} for name, priority in priorities.items()}
    web = api.run(
        "web",
        *WAITING,
        HostConfig={"NetworkMode": "aa"},
        NetworkingConfig={"EndpointsConfig": places},
    )

    def way_out() -> bytes:
        return api.exec_output(web, "ip", "route", "show", "default")[1].split()[2]

    assert way_out() == b"10.93.1.1"
    api.post("/networks/bb/disconnect", {"Container": "web"})
    assert way_out() == b"10.93.2.1"


def test_an_interface_has_the_sysctls_that_its_place_asks_for(api: Api) -> None:
    network(api, "tuned")
    api.run("web", *WAITING)
    options = {SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.arp_notify=1"}

    request = {"Container": "web", "EndpointConfig": {"DriverOpts": options}}
    api.post("/networks/tuned/connect", request)

    for name, value in (("eth0", b"0"), ("eth1", b"1")):
        path = f"/proc/sys/net/ipv4/conf/{name}/arp_notify"
        assert api.exec_output("web", "cat", path)[1].strip() == value
