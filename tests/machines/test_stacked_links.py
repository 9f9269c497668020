"""Test networks on a link of the host's (macvlan, ipvlan): their containers are machines among
machines.
"""

import subprocess
from collections.abc import Iterator

import pytest

from tests.harness.conditions import eventually
from tests.machines.conftest import CLIENT, HOST, PATIENCE_S, Machines

pytestmark = pytest.mark.root

FIRST = "192.0.2.128"
SECOND = "192.0.2.129"
OPTIONS = ("--subnet", "192.0.2.0/24", "--ip-range", "192.0.2.128/25", "--gateway", CLIENT[4])


@pytest.fixture
def street(around: Machines) -> Iterator[Machines]:
    """Yield the machines, with a network named ``street`` on the link to the client."""
    around.docker.ok("network", "create", "-d", "macvlan", "-o", "parent=wan", *OPTIONS, "street")
    yield around
    for container in around.daemon.api.ps():
        around.daemon.api.remove(container["Id"])
    around.docker.ok("network", "rm", "street")
    assert around.host("ip", "link", "show", "wan"), "it is the administrator's"


def test_a_macvlan_container_is_a_machine_on_the_hosts_link(street: Machines) -> None:
    street.serve("web", "--network street -p 8060:80")
    street.run("near", "--network street", "sleep", "1000")

    assert street.client.fetches(FIRST, 80, PATIENCE_S) == "web\n"
    assert street.inside("near").fetches("192.0.2.128", 80, PATIENCE_S) == "web\n"
    assert f"Address: {FIRST}\n" in street.says("near", "nslookup", "web")
    assert f"via {CLIENT[4]} dev eth0" in street.says("near", "ip", "route")
    assert street.client.fetches(HOST[4], 8060) == "", "no port of the host leads there"
    assert street.docker.ok("port", "web") == ""


def test_a_container_is_reachable_after_restarts_and_repairs(street: Machines) -> None:
    street.serve("web", "--network street")
    street.docker.ok("restart", "-t", "0", "web")
    answers = eventually(lambda: street.client.fetches(FIRST, 80), "it serves after its restart")
    assert answers == "web\n"
    street.daemon.kill()
    assert street.client.fetches(FIRST, 80, PATIENCE_S) == "web\n"
    street.daemon.start()

    street.inside("web").ip("link delete eth0")

    answers = eventually(lambda: street.client.fetches(FIRST, 80), "it is repaired")
    assert answers == "web\n"


def test_it_is_one_network_among_others(street: Machines) -> None:
    street.serve("web", "--network front -p 8061:80")
    street.docker.ok("network", "connect", "--ip", SECOND, "street", "web")

    assert street.client.fetches(SECOND, 80, PATIENCE_S) == "web\n"
    assert street.host.fetches("127.0.0.1", 8061, PATIENCE_S) == "web\n"
    street.docker.ok("network", "disconnect", "street", "web")
    assert street.client.fetches(SECOND, 80) == ""
    assert street.client.fetches(HOST[4], 8061, PATIENCE_S) == "web\n"


def test_it_is_shown_as_docker_shows_it(street: Machines) -> None:
    street.run("web", "--network street", "sleep", "1000")
    (shown,) = [street.daemon.api.get("/networks/street")]

    assert (shown["Driver"], shown["Options"]) == ("macvlan", {"parent": "wan"})
    (member,) = shown["Containers"].values()
    assert member["IPv4Address"] == f"{FIRST}/24"
    place = street.daemon.api.inspect("web")["NetworkSettings"]["Networks"]["street"]
    assert (place["Gateway"], place["MacAddress"]) == (CLIENT[4], "02:42:c0:00:02:80")
    assert "street macvlan" in street.docker.ok(
        "network", "ls", "--format", "{{.Name}} {{.Driver}}"
    )
    types = street.docker.ok(
        *("events", "--since", "0", "--until", "0s", "--filter", "type=network"),
        *("--filter", f"network={shown['Id']}", "--format", "{{.Actor.Attributes.type}}"),
    )
    assert set(types.split()) <= {"macvlan"}


def test_a_deleted_veth_is_reported_once_and_delays_no_other(
    around: Machines,
) -> None:
    api = around.daemon.api
    around.host.ip("link add spare type veth peer name spare1")
    around.docker.ok("network", "create", "-d", "macvlan", "-o", "parent=spare", "odd")

    def recorded(what: str) -> int:
        return len(api.history("odd", type=f"network_drift_{what}"))

    around.host.ip("link delete spare")
    eventually(lambda: recorded("detected") == 1, "it is missed")
    around.serve("web", "--network front")
    around.inside("web").ip("link delete eth0")
    eventually(
        lambda: api.history("web", type="container_drift_repaired"), "others are looked after"
    )
    assert (recorded("detected"), recorded("repaired")) == (1, 0)
    around.host.ip("link add spare type veth peer name spare1")
    eventually(lambda: recorded("repaired") == 1, "it is there again")
    assert recorded("detected") == 1
    around.docker.ok("network", "rm", "odd")
    around.host.ip("link delete spare")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("-d macvlan -o parent=lo", "loopback interface is not a valid macvlan parent link"),
        ("-d macvlan -o parent=nosuch", "invalid subinterface vlan name nosuch"),
        ("-d macvlan -o parent=wan", "network street is already using parent interface wan"),
        ("-d macvlan -o parent=lab -o macvlan_mode=odd", "requested macvlan mode 'odd' is not"),
        ("-d ipvlan -o parent=lab -o ipvlan_mode=odd", "requested ipvlan mode 'odd' is not valid"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(
    street: Machines, options: str, words: str
) -> None:
    done = street.docker("network", "create", *options.split(), "bad")

    assert done.code == 1
    assert words in done.err
    assert "bad" not in street.docker.ok("network", "ls", "--format", "{{.Name}}").split()


def test_a_link_kind_that_the_kernel_lacks_is_reported(around: Machines) -> None:
    """A supported kind works."""
    script = "ip link add v0 type veth peer name v1; ip link add link v0 name x0 type ipvlan"
    probe = subprocess.run(["unshare", "--net", "sh", "-c", script], check=False)

    done = around.docker("network", "create", "-d", "ipvlan", "-o", "parent=lab", "over")

    if probe.returncode == 0:
        assert done.code == 0
        around.docker.ok("network", "rm", "over")
    else:
        assert "this kernel has no links of the kind ipvlan: load the module ipvlan" in done.err
    assert "over" not in around.docker.ok("network", "ls", "--format", "{{.Name}}").split()
