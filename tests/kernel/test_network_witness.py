"""What another netlink library sees of the networks that the engine's own codec asked for: pyroute2 is the witness."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyroute2 import IPRoute  # type: ignore[import-untyped]  # it has no types

from engine.domain import naming
from tests.kernel.wire import BRIDGE, INSTANCE, World, in_place, new_world, sandbox

pytestmark = pytest.mark.root


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world(tmp_path) as made:
        made.network.ensure_bridge(BRIDGE)
        yield made


def test_the_bridge_is_one_up_and_has_its_address(world: World) -> None:
    with IPRoute() as witness:
        (link,) = witness.get_links(ifname=BRIDGE.name)
        addresses = [
            each.get("address") for each in witness.get_addr(index=link["index"], family=2)
        ]

    assert link.get(("linkinfo", "kind")) == "bridge"
    assert link["flags"] & 1, "IFF_UP"
    assert addresses == [str(BRIDGE.addresses[0].ip)]


def test_the_hosts_end_of_a_pair_is_plugged_into_the_bridge(world: World) -> None:
    wanted = sandbox(2)
    world.network.prepare_sandbox(wanted)

    with IPRoute() as witness:
        (bridge,) = witness.link_lookup(ifname=BRIDGE.name)
        (veth,) = witness.get_links(ifname=naming.host_veth(INSTANCE, wanted.id))

    assert veth.get(("linkinfo", "kind")) == "veth"
    assert veth.get("master") == bridge


def test_inside_there_is_eth0_with_its_address_and_a_default_route(world: World) -> None:
    wanted = sandbox(2)
    world.network.prepare_sandbox(wanted)
    assert wanted.endpoints

    def look() -> tuple[str, list[str], list[str]]:
        with IPRoute() as witness:
            (link,) = witness.get_links(ifname="eth0")
            addresses = [
                each.get("address") for each in witness.get_addr(index=link["index"], family=2)
            ]
            gateways = [each.get("gateway") for each in witness.get_default_routes(family=2)]
            return link.get("address"), addresses, gateways

    mac, addresses, gateways = in_place(world.place(wanted), look)

    assert mac == wanted.endpoints[0].mac
    assert addresses == [str(wanted.endpoints[0].addresses[0].ip)]
    assert gateways == [str(wanted.endpoints[0].gateways[0])]
