"""Test which machines don't reach each other, and which source addresses others see."""

from contextlib import closing

import pytest

from tests.machines.conftest import CLIENT, HOST, PATIENCE_S, Machines

pytestmark = pytest.mark.root

both_versions = pytest.mark.parametrize("version", [4, 6])


@both_versions
def test_networks_do_not_reach_each_other(around: Machines, version: int) -> None:
    around.serve("web", "--network front")
    around.run("near", "--network front", "sleep", "1000")
    around.run("far", "--network back", "sleep", "1000")
    address = around.address("web", "front", version)

    assert around.inside("near").fetches(address, 80, PATIENCE_S) == "web\n"
    assert around.inside("far").fetches(address, 80) == ""
    around.docker.ok("network", "connect", "front", "far")
    assert around.inside("far").fetches(address, 80, PATIENCE_S) == "web\n"
    around.docker.ok("network", "disconnect", "front", "far")
    assert around.inside("far").fetches(address, 80) == ""


@both_versions
def test_a_neighbours_machine_reaches_no_container_directly(around: Machines, version: int) -> None:
    around.serve("web", "--network front -p 127.0.0.1:8084:80")
    address = around.address("web", "front", version)

    assert around.host.fetches(address, 80, PATIENCE_S) == "web\n"
    assert around.client.fetches(address, 80) == ""


@both_versions
def test_an_internal_network_reaches_nothing_outside(around: Machines, version: int) -> None:
    around.serve("web", "--network inner")
    around.run("near", "--network inner", "sleep", "1000")
    around.serve("port", "--network front -p 8085:80")
    inside = around.inside("near")

    assert inside.fetches(around.address("web", "inner", version), 80, PATIENCE_S) == "web\n"
    assert inside.fetches(around.address("port", "front", version), 80) == ""
    assert inside.fetches(HOST[version], 8085) == ""
    assert "1 packets received" not in around.says("near", *_ping(CLIENT[version]))
    assert "default" not in around.says("near", "ip", f"-{version}", "route")


def test_without_icc_containers_reach_other_hosts_but_not_each_other(
    around: Machines,
) -> None:
    around.serve("web", "--network apart -p 8087:80")
    around.run("near", "--network apart", "sleep", "1000")
    inside = around.inside("near")

    assert inside.fetches(around.address("web", "apart"), 80) == ""
    assert "1 packets received" in around.says("near", *_ping(CLIENT[4]))
    assert around.client.fetches(HOST[4], 8087, PATIENCE_S) == "web\n"


@both_versions
def test_the_outside_sees_the_hosts_address_unless_a_network_keeps_its_own(
    around: Machines, version: int
) -> None:
    option = "com.docker.network.bridge.enable_ip_masquerade=false"
    subnets = ("--subnet", "10.75.0.0/24", "--subnet", "fd00:75::/64")
    around.docker.ok("network", "create", "-o", option, "--ipv6", *subnets, "open")
    around.run("hidden", "--network front", "sleep", "1000")
    around.run("shown", "--network open", "sleep", "1000")

    assert _seen_as(around, "hidden", version) == HOST[version]
    assert _seen_as(around, "shown", version) == around.address("shown", "open", version)
    around.docker.ok("rm", "-f", "shown")
    around.docker.ok("network", "rm", "open")


def _ping(address: str) -> tuple[str, ...]:
    return ("ping", "-c", "1", "-W", "1", address)


def _seen_as(around: Machines, container: str, version: int) -> str:
    """Return the address of a container as the client's machine sees it."""
    with closing(around.client.listen(8088)) as server:
        caller = around.inside(container).started("busybox", "nc", CLIENT[version], "8088")
        try:
            connection, address = server.accept()
            connection.close()
        finally:
            caller.kill()
            caller.wait()
    return str(address[0]).removeprefix("::ffff:")
