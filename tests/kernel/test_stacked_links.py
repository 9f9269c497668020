"""Test macvlan and ipvlan links where the kernel supports them, and clear errors where it does
not.
"""

import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from pathlib import Path

import pytest

from engine.domain.ids import SandboxId
from engine.drivers.networks import netns, rtnetlink
from engine.drivers.networks.link_kinds import Stacking
from engine.drivers.networks.macvlan_parents import Parent
from engine.drivers.networks.netlink import NetlinkSocket
from engine.drivers.networks.sandbox import Endpoint, Sandbox
from engine.errors import InvalidRequest, Unsupported
from tests.kernel.network_world import World, bind, can_call, in_place, new_world, talk

pytestmark = pytest.mark.root

MACVLAN, IPVLAN, ROUTED = Stacking("macvlan", 4), Stacking("ipvlan", 0), Stacking("ipvlan", 1)
KINDS = [
    pytest.param(MACVLAN, id="macvlan"),
    pytest.param(IPVLAN, id="ipvlan"),
    pytest.param(ROUTED, id="ipvlan, routed"),
]
NEIGHBOUR = "10.9.0.9"


def kernel_has(kind: str) -> bool:
    """True if the kernel supports a kind, according to iproute2."""
    over = "" if kind == "dummy" else "link v0"
    number = "id 7" if kind == "vlan" else ""
    script = (
        f"ip link add v0 type veth peer name v1; ip link add {over} name x0 type {kind} {number}"
    )
    words = ["unshare", "--net", "sh", "-c", script]
    done = subprocess.run(words, check=False, capture_output=True)
    return done.returncode == 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Make a host with a link to a neighbour, which has an address of the containers' subnet."""
    with new_world(tmp_path) as made:
        place = made.outside()

        def settle() -> None:
            with NetlinkSocket() as inside:
                eth0 = rtnetlink.find_link(inside, "eth0")
                assert eth0 is not None
                inside.transact(
                    [rtnetlink.add_address(eth0.index, ip_interface(f"{NEIGHBOUR}/24"))]
                )

        in_place(place, settle)
        yield made


def neighbour(world: World) -> Path:
    return world.exec_root / "outside"


def sandbox(number: int, over: Stacking, name: str = "") -> Sandbox:
    gateway = ip_address("0.0.0.0") if over == ROUTED else ip_address(NEIGHBOUR)
    endpoint = Endpoint(
        bridge="wan",
        slot=0,
        addresses=(ip_interface(f"10.9.0.{number}/24"),),
        mac=f"02:42:0a:09:00:{number:02x}",
        mtu=0,
        gateways=(gateway,),
        stacking=over,
    )
    return Sandbox(SandboxId((name or str(number)) * 16), (endpoint,))


@pytest.mark.parametrize("over", KINDS)
def test_a_missing_kernel_feature_is_reported_at_once(world: World, over: Stacking) -> None:
    if kernel_has(over.kind):
        world.network.make_parent(Parent("wan", over))
    else:
        with pytest.raises(Unsupported, match=f"no links of the kind {over.kind}"):
            world.network.make_parent(Parent("wan", over))
    assert world.links() == {"lo", "wan"}


@pytest.mark.parametrize("over", KINDS)
def test_containers_reach_each_other_and_the_neighbour(world: World, over: Stacking) -> None:
    if not kernel_has(over.kind):
        with pytest.raises(Exception, match="not supported"):
            world.network.prepare_sandbox(sandbox(2, over))
        return
    one, two = sandbox(2, over), sandbox(3, over)
    world.network.prepare_sandboxes((one, two))

    assert world.faults(one) == ()
    with bind(world.place(one), 80) as server:
        assert talk(server, world.place(two), "10.9.0.2", 80) == "10.9.0.3"
        if over != ROUTED:  # for which the neighbour would need a route
            assert talk(server, neighbour(world), "10.9.0.2", 80) == NEIGHBOUR


@pytest.mark.parametrize("over", [MACVLAN, IPVLAN], ids=["macvlan", "ipvlan"])
def test_address_and_mac_are_free_as_soon_as_a_sandbox_is_removed(
    world: World, over: Stacking
) -> None:
    if not kernel_has(over.kind):
        assert over == IPVLAN
        return
    for name in "abcde":
        wanted = sandbox(2, over, name)
        world.network.prepare_sandbox(wanted)
        with bind(world.place(wanted), 80) as server:
            assert talk(server, neighbour(world), "10.9.0.2", 80) == NEIGHBOUR
        world.network.remove_sandbox(wanted.id)
    assert not can_call(neighbour(world), "10.9.0.2", 80)


def test_what_was_deleted_by_hand_is_detected_and_made_again(world: World) -> None:
    wanted = sandbox(2, MACVLAN)
    world.network.prepare_sandbox(wanted)

    def delete() -> None:
        with NetlinkSocket() as inside:
            inside.transact([rtnetlink.delete_link("eth0")])

    in_place(world.place(wanted), delete)

    assert world.faults(wanted) == ("eth0 is gone",)
    world.network.prepare_sandbox(wanted)
    assert world.faults(wanted) == ()
    with bind(world.place(wanted), 80) as server:
        assert talk(server, neighbour(world), "10.9.0.2", 80) == NEIGHBOUR


def test_an_interface_that_is_no_longer_wanted_is_removed(world: World) -> None:
    world.network.prepare_sandbox(sandbox(2, MACVLAN))

    world.network.prepare_sandbox(Sandbox(sandbox(2, MACVLAN).id))

    def names() -> set[str]:
        with NetlinkSocket() as inside:
            return {link.name for link in rtnetlink.links(inside)}

    assert in_place(world.place(sandbox(2, MACVLAN)), names) == {"lo"}


@pytest.mark.parametrize(("name", "kind"), [("dm-0123456789ab", "dummy"), ("wan.7", "vlan")])
def test_a_parent_may_be_made_for_its_network(world: World, name: str, kind: str) -> None:
    parent = Parent(name, MACVLAN)
    if not kernel_has(kind):
        with pytest.raises(Unsupported, match=f"load the module {kind}"):
            world.network.make_parent(parent)
        assert world.links() == {"lo", "wan"}
        return
    world.network.make_parent(parent)

    assert world.network.faults_of_parent(parent) == ()
    world.kernel.transact([rtnetlink.change_link(name, up=False)])
    assert world.network.faults_of_parent(parent) == (f"link {name} is down",)
    world.network.ensure_parent(parent)
    assert world.network.faults_of_parent(parent) == ()
    world.network.remove_bridge(name)
    assert world.links() == {"lo", "wan"}
    assert world.network.faults_of_parent(parent) == (f"link {name} is gone",)


@pytest.mark.parametrize("name", ["nosuch", "nosuch.10", "wan.4095", "wan.x"])
def test_an_impossible_parent_is_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidRequest):
        world.network.make_parent(Parent(name, MACVLAN))


def test_an_administrators_link_stays(world: World) -> None:
    world.network.make_parent(Parent("wan", MACVLAN))

    world.network.remove_bridge("wan")

    assert "wan" in world.links()
    assert netns.is_pinned(neighbour(world))
