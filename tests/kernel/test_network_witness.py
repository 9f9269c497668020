"""Compare the networks that the engine made with iproute2's view, which shares no code with the
engine.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.domain import naming
from tests.kernel.network_world import BRIDGE, INSTANCE, World, new_world, sandbox, witness

pytestmark = pytest.mark.root


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world(tmp_path) as made:
        made.network.ensure_bridge(BRIDGE)
        yield made


def test_the_bridge_is_one_up_and_has_its_address(world: World) -> None:
    (link,) = witness(None, "address", "show", "dev", BRIDGE.name)

    assert link["linkinfo"]["info_kind"] == "bridge"
    assert "UP" in link["flags"]
    assert link["address"] == BRIDGE.mac
    assert [each["local"] for each in link["addr_info"] if each["family"] == "inet"] == [
        str(BRIDGE.addresses[0].ip)
    ]


def test_the_hosts_end_of_a_pair_is_plugged_into_the_bridge(world: World) -> None:
    wanted = sandbox(2)
    world.network.prepare_sandbox(wanted)

    (veth,) = witness(None, "link", "show", "dev", naming.host_veth(INSTANCE, wanted.id))

    assert veth["linkinfo"]["info_kind"] == "veth"
    assert veth["inet6_addr_gen_mode"] == "none"
    assert veth["master"] == BRIDGE.name


def test_inside_there_is_eth0_with_its_address_and_a_default_route(world: World) -> None:
    wanted = sandbox(2)
    world.network.prepare_sandbox(wanted)
    (endpoint,) = wanted.endpoints

    (link,) = witness(world.place(wanted), "address", "show", "dev", "eth0")
    routes = witness(world.place(wanted), "-4", "route", "show", "default")

    assert link["address"] == endpoint.mac
    assert [each["local"] for each in link["addr_info"] if each["family"] == "inet"] == [
        str(endpoint.addresses[0].ip)
    ]
    assert [each["gateway"] for each in routes] == [str(endpoint.gateways[0])]
