"""Test bridges and sandboxes in a real kernel: packets travel, every fault is found, nothing is
left.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface
from pathlib import Path

import pytest
from msgspec.structs import replace as replace_fields

from engine import failpoints
from engine.domain import naming
from engine.domain.container.attachment import mac_address
from engine.domain.container.events import ProcessIdentity
from engine.domain.ids import InstanceId, SandboxId
from engine.drivers.networks import link_kinds, netns, rtnetlink
from engine.drivers.networks.bridge import Bridge, ForeignBridge
from engine.drivers.networks.netlink import NetlinkSocket
from engine.drivers.networks.ruleset import FirewallPlan
from engine.drivers.networks.sandbox import Sandbox, look_inside
from engine.drivers.networks.sandbox_driver import NetworkDriver
from engine.drivers.networks.watch import Watch
from engine.drivers.processes.identity import boot_id
from engine.errors import DriverError
from tests.kernel.network_world import (
    BRIDGE,
    INSTANCE,
    World,
    bind,
    can_call,
    in_place,
    new_world,
    sandbox,
    talk,
    wait_until,
)

pytestmark = pytest.mark.root
GATEWAY = str(BRIDGE.addresses[0].ip)
VETH = naming.host_veth(INSTANCE, sandbox(2).id)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with new_world(tmp_path) as made:
        made.network.ensure_bridge(BRIDGE)
        yield made


def test_containers_on_a_bridge_reach_each_other_and_their_gateway(world: World) -> None:
    one, two = world.container(2), world.container(3)

    with bind(one, 80) as server, bind(None, 81) as host:
        assert talk(server, two, "172.17.0.2", 80) == "172.17.0.3"
        assert talk(host, two, GATEWAY, 81) == "172.17.0.3"


def test_the_host_reaches_a_container(world: World) -> None:
    with bind(world.container(2), 80) as server:
        assert talk(server, None, "172.17.0.2", 80) == GATEWAY


def test_eth0_has_the_mac_and_mtu_that_were_asked_for(world: World) -> None:
    wanted = sandbox(2)
    (endpoint,) = wanted.endpoints
    wanted = replace(wanted, endpoints=(replace(endpoint, mac="02:42:01:02:03:04", mtu=1400),))

    world.network.prepare_sandbox(wanted)

    link = in_place(world.place(wanted), lambda: _link("eth0"))
    assert (link.mac, link.mtu) == ("02:42:01:02:03:04", 1400)
    assert _link(VETH).mtu == 1400


def test_a_sandbox_without_an_endpoint_has_a_loopback_that_works_and_nothing_else(
    world: World,
) -> None:
    alone = Sandbox(SandboxId("a" * 16))
    world.network.prepare_sandbox(alone)
    place = world.place(alone)

    with bind(place, 80) as server:
        assert talk(server, place, "127.0.0.1", 80) == "127.0.0.1"
    assert in_place(place, lambda: {name for _, name in socket.if_nameindex()}) == {"lo"}
    assert world.faults(alone) == ()


def test_containers_that_are_isolated_from_each_other_still_reach_their_gateway(
    world: World,
) -> None:
    quiet = Bridge("slquiet", (IPv4Interface("172.19.0.1/16"),), icc=False)
    world.network.ensure_bridge(quiet)
    one, two = world.container(2, quiet), world.container(3, quiet)

    with bind(one, 80), bind(None, 81) as host:
        assert not can_call(two, "172.19.0.2", 80)
        assert talk(host, two, "172.19.0.1", 81) == "172.19.0.3"


def test_preparing_again_changes_nothing(world: World) -> None:
    world.network.prepare_sandbox(sandbox(2))
    before = _link(VETH)

    world.network.prepare_sandbox(sandbox(2))

    assert _link(VETH) == before


def test_a_sandbox_that_cannot_be_built_leaves_nothing(world: World) -> None:
    nowhere = sandbox(2, replace(BRIDGE, name="nosuch"))

    with pytest.raises(DriverError, match="nosuch"):
        world.network.prepare_sandbox(nowhere)

    with Watch() as watch:
        wait_until(lambda: world.links() == {"lo", BRIDGE.name}, watch)
    assert world.network.owned_sandboxes() == set()
    assert world.mounts() == []


PERFORM = """
import sys
from pathlib import Path
from engine.drivers.networks.sandbox_driver import NetworkDriver
from tests.kernel.network_world import INSTANCE, sandbox
driver = NetworkDriver(INSTANCE, Path(sys.argv[1]))
driver.prepare_sandbox(sandbox(2))
driver.remove_sandbox(sandbox(2).id)
"""


@pytest.mark.parametrize("point", ["sandbox_furnished", "netns_pin_touched", "netns_unmounted"])
def test_the_rest_of_an_interrupted_preparation_is_found_and_removed(
    world: World, point: str
) -> None:
    died = subprocess.run(
        [sys.executable, "-c", PERFORM, str(world.exec_root)],
        env=os.environ | {failpoints.VARIABLE: f"{point}=die"},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    with Watch() as watch:
        wait_until(lambda: world.links() == {"lo", BRIDGE.name}, watch)

    world.network.remove_sandboxes(world.network.owned_sandboxes())

    assert list((world.exec_root / "netns").glob("*")) == []
    assert world.mounts() == []


def test_removal_leaves_nothing(world: World) -> None:
    wanted = [sandbox(number) for number in range(2, 22)]
    world.network.prepare_sandboxes(wanted)
    assert world.network.owned_sandboxes() == {each.id for each in wanted}

    world.network.remove_sandboxes([each.id for each in wanted])

    assert world.network.owned_sandboxes() == set()
    assert world.mounts() == []
    assert list((world.exec_root / "netns").iterdir()) == []
    with Watch() as watch:
        wait_until(lambda: world.links() == {"lo", BRIDGE.name}, watch)


def test_removing_twice_or_what_never_was_is_nothing_special(world: World) -> None:
    world.network.prepare_sandbox(sandbox(2))

    for unwanted in (sandbox(2).id, sandbox(2).id, SandboxId("0" * 16)):
        world.network.remove_sandbox(unwanted)

    assert world.network.owned_sandboxes() == set()


def test_a_freed_address_can_be_reused_while_its_old_sandbox_is_dismantled(
    world: World,
) -> None:
    former, caller = sandbox(2), world.container(9)
    world.network.prepare_sandbox(former)
    with bind(world.place(former), 80) as old:
        talk(old, caller, "172.17.0.2", 80)
        heir = replace(former, id=SandboxId("f" * 16))

        world.network.remove_sandbox(
            former.id
        )  # the socket keeps its namespace, and so its veth, alive
        world.network.prepare_sandbox(heir)

        with bind(world.place(heir), 80) as new:
            assert talk(new, caller, "172.17.0.2", 80) == "172.17.0.9"


def test_a_link_that_outlived_its_pin_is_counted_and_removed(world: World) -> None:
    with bind(world.container(2), 80):  # a process holds the namespace
        netns.unpin(world.place(sandbox(2)))
        assert VETH in world.links()

        (left_over,) = world.network.owned_sandboxes()
        world.network.remove_sandbox(left_over)

        assert VETH not in world.links()
    assert world.network.owned_sandboxes() == set()


def test_a_half_made_pin_is_listed_and_completed(world: World) -> None:
    place = world.place(sandbox(2))
    place.parent.mkdir(parents=True)
    place.touch()  # the mount point without its mount, as a crash may leave it

    assert world.network.owned_sandboxes() == {sandbox(2).id}
    assert world.faults(sandbox(2)) == ("its network namespace is not pinned",)
    world.network.prepare_sandbox(sandbox(2))

    assert world.faults(sandbox(2)) == ()


def _link(name: str) -> rtnetlink.Link:
    with NetlinkSocket() as kernel:
        link = rtnetlink.find_link(kernel, name)
    assert link is not None
    return link


def _delete_veth(kernel: NetlinkSocket) -> None:
    kernel.transact([rtnetlink.delete_link(VETH)])


def _unplug(kernel: NetlinkSocket) -> None:
    kernel.transact([rtnetlink.change_link(VETH, master=0)])


def _set_down(kernel: NetlinkSocket) -> None:
    kernel.transact([rtnetlink.change_link(VETH, up=False)])


def _set_own_eth0_down() -> None:
    with NetlinkSocket() as own:
        _set_eth0_down(own)


def _set_eth0_down(kernel: NetlinkSocket) -> None:
    kernel.transact([rtnetlink.change_link("eth0", up=False)])


def _take_address(kernel: NetlinkSocket) -> None:
    index = socket.if_nametoindex("eth0")
    kernel.transact([rtnetlink.delete_address(index, IPv4Interface("172.17.0.2/16"))])


OUTSIDE_DAMAGE = [_delete_veth, _unplug, _set_down]
INSIDE_DAMAGE = [_set_eth0_down, _take_address]


@pytest.mark.parametrize("damage", OUTSIDE_DAMAGE + INSIDE_DAMAGE)
def test_damage_is_found_and_repaired(
    world: World, damage: Callable[[NetlinkSocket], None]
) -> None:
    def break_it() -> None:
        with NetlinkSocket() as kernel:
            damage(kernel)

    place, neighbour = world.container(2), world.container(3)
    in_place(place if damage in INSIDE_DAMAGE else None, break_it)
    with bind(place, 80) as server:
        assert world.faults(sandbox(2))

        world.network.prepare_sandbox(sandbox(2))

        assert world.faults(sandbox(2)) == ()
        assert talk(server, neighbour, "172.17.0.2", 80) == "172.17.0.3"


def test_a_connection_survives_the_repair_of_a_link_that_was_unplugged(world: World) -> None:
    place, neighbour = world.container(2), world.container(3)
    with bind(place, 80) as server, in_place(neighbour, socket.socket) as client:
        client.connect(("172.17.0.2", 80))
        line, _ = server.accept()
        with line:
            _unplug(world.kernel)

            world.network.prepare_sandbox(sandbox(2))

            client.sendall(b"still there")
            line.settimeout(5)
            assert line.recv(16) == b"still there"


def test_a_pin_that_somebody_removed_is_made_again_from_a_process_inside(world: World) -> None:
    place = world.container(2)
    with resident_of(place) as process:
        netns.unpin(place)
        assert world.faults(sandbox(2))

        world.network.adopt_sandbox(sandbox(2), process)

        assert world.faults(sandbox(2)) == ()


def test_the_namespace_of_a_process_that_has_a_pid_after_another_is_never_pinned(
    world: World,
) -> None:
    place = world.container(2)
    with resident_of(place) as process:
        netns.unpin(place)
        before = replace_fields(process, start_ticks=process.start_ticks - 1)

        with pytest.raises(DriverError, match="has ended"):
            world.network.adopt_sandbox(sandbox(2), before)

        assert not netns.is_pinned(place)


@contextmanager
def resident_of(place: Path) -> Iterator[ProcessIdentity]:
    """Start a process in a namespace."""
    command = ["nsenter", f"--net={place}", "sh", "-c", "echo inside; exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as resident:
        try:
            assert resident.stdout is not None
            assert resident.stdout.readline() == "inside\n"
            yield identity_of(resident.pid)
        finally:
            resident.kill()


def identity_of(pid: int) -> ProcessIdentity:
    stat = Path(f"/proc/{pid}/stat").read_text()
    ticks = int(stat.rpartition(")")[2].split()[19])
    return ProcessIdentity(pid=pid, start_ticks=ticks, boot_id=boot_id())


def test_faults_of_many_are_distinguished(world: World) -> None:
    wanted = [sandbox(number) for number in range(2, 6)]
    world.network.prepare_sandboxes(wanted)
    _delete_veth(world.kernel)

    found = world.network.survey(wanted)

    assert found.damaged == {sandbox(2).id}
    assert found.sandboxes == {each.id for each in wanted}
    assert found.bridges == {BRIDGE.name}


def test_many_sandboxes_are_looked_into_in_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.drivers.networks.sandbox_looks.INSIDE_MAX", 2)
    wanted = [sandbox(number) for number in range(2, 6)]
    world.network.prepare_sandboxes(wanted)
    for each in wanted:
        in_place(world.place(each), _set_own_eth0_down)

    counts = [len(world.network.survey(wanted).damaged) for _ in range(2)]

    assert counts == [2, 4]


def test_a_bridge_is_right_once_ensured_and_every_fault_is_repaired(world: World) -> None:
    assert world.network.faults_of_bridges((BRIDGE,))[BRIDGE.name] == ()
    index = _link(BRIDGE.name).index
    world.kernel.transact(
        [
            rtnetlink.change_link(index, up=False, mtu=1400),
            rtnetlink.add_address(index, IPv4Interface("10.9.9.9/24")),
            rtnetlink.delete_address(index, BRIDGE.addresses[0]),
        ]
    )
    Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
    assert len(world.network.faults_of_bridges((BRIDGE,))[BRIDGE.name]) == 4

    world.network.ensure_bridge(BRIDGE)

    assert world.network.faults_of_bridges((BRIDGE,))[BRIDGE.name] == ()
    assert [each for each in rtnetlink.addresses(world.kernel) if each[0] == index] == [
        (index, BRIDGE.addresses[0])
    ]


def test_a_bridge_of_another_instance_is_neither_changed_nor_removed(world: World) -> None:
    stranger = NetworkDriver(InstanceId("badf00d" + "0" * 25), world.exec_root)

    with pytest.raises(ForeignBridge):
        stranger.ensure_bridge(replace(BRIDGE, mtu=1280))
    stranger.remove_bridge(BRIDGE.name)

    assert world.network.faults_of_bridges((BRIDGE,)) == {BRIDGE.name: ()}
    stranger.close()


def test_an_administrators_bridge_is_used_as_it_is_and_stays(world: World) -> None:
    address = IPv4Interface("10.0.0.1/24")
    theirs = Bridge("theirs", (address,), owned=False)
    with pytest.raises(DriverError, match="does not exist"):
        world.network.ensure_bridge(theirs)
    world.kernel.transact([link_kinds.create_bridge("theirs", mac_address(str(address.ip)), 1500)])
    index = _link("theirs").index
    world.kernel.transact(
        [rtnetlink.change_link(index, up=True), rtnetlink.add_address(index, address)]
    )

    world.network.ensure_bridge(theirs)
    world.network.remove_bridge("theirs")

    assert world.network.faults_of_bridges((theirs,)) == {"theirs": ()}
    with bind(world.container(2, theirs), 80) as server:
        assert talk(server, None, "10.0.0.2", 80) == "10.0.0.1"


def test_a_removed_bridge_is_gone_and_may_be_removed_again(world: World) -> None:
    world.network.remove_bridge(BRIDGE.name)
    world.network.remove_bridge(BRIDGE.name)

    assert world.links() == {"lo"}
    assert world.network.faults_of_bridges((BRIDGE,))[BRIDGE.name] == (
        f"bridge {BRIDGE.name} is gone",
    )


def test_subnets_of_addresses_and_routes_are_taken_those_of_our_own_bridge_are_not(
    world: World,
) -> None:
    world.outside()

    assert IPv4Network("192.0.2.0/24") in world.network.taken_subnets()
    assert BRIDGE.addresses[0].network in world.network.taken_subnets()
    assert BRIDGE.addresses[0].network not in world.network.taken_subnets(apart_from={BRIDGE.name})


def test_traffic_does_not_make_a_sandbox_look_changed(world: World) -> None:
    wanted = sandbox(2)
    world.network.prepare_sandbox(wanted)
    with bind(world.place(wanted), 80) as server:
        talk(server, None, "172.17.0.2", 80)  # the kernel has finished setting the link up
        before = _inside(world, wanted)
        talk(server, None, "172.17.0.2", 80)

    assert _inside(world, wanted) == before

    in_place(world.place(wanted), _inside_down)
    assert _inside(world, wanted) != before


def _inside(world: World, wanted: Sandbox) -> int:
    return in_place(world.place(wanted), lambda: look_inside(wanted).fingerprint)


def _inside_down() -> None:
    with NetlinkSocket() as kernel:
        _set_eth0_down(kernel)


def test_the_watch_reports_broken_links_and_not_new_ones(
    world: World,
) -> None:
    with Watch() as watch:
        world.network.prepare_sandbox(sandbox(2))
        world.network.prepare_sandbox(sandbox(3))
        assert not watch.drain()

        for damage in (_set_down, _unplug, _delete_veth):
            damage(world.kernel)

            assert watch.drain()
            assert not watch.drain()


def test_the_watch_notices_a_lost_address_and_a_changed_firewall(world: World) -> None:
    index = _link(BRIDGE.name).index
    with Watch() as watch:
        world.kernel.transact([rtnetlink.delete_address(index, BRIDGE.addresses[0])])
        assert watch.drain()

        world.firewall.apply(FirewallPlan())

        assert watch.drain()
        assert not watch.drain()


def test_the_watch_notices_a_lost_ipv6_address(world: World) -> None:
    six = Bridge("slsix", (IPv6Interface("fd00:6::1/64"),))
    world.network.ensure_bridge(six)
    index = _link(six.name).index
    with Watch() as watch:
        world.kernel.transact([rtnetlink.delete_address(index, six.addresses[0])])

        assert watch.drain()


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_preparing_leaks_no_descriptor_and_no_thread(world: World) -> None:
    world.network.prepare_sandbox(sandbox(2))
    world.network.survey([sandbox(2)])
    world.network.survey([])
    descriptors, threads = _open_descriptors(), threading.active_count()

    world.network.prepare_sandboxes([sandbox(number) for number in range(3, 9)])
    world.network.survey([sandbox(number) for number in range(2, 9)])
    world.network.survey([])

    assert _open_descriptors() == descriptors
    assert threading.active_count() <= threads, "those of other tests may have ended meanwhile"


def test_the_calling_thread_stays_in_its_namespace(world: World) -> None:
    home = Path("/proc/thread-self/ns/net").stat().st_ino

    world.network.prepare_sandbox(sandbox(2))
    world.faults(sandbox(2))

    assert Path("/proc/thread-self/ns/net").stat().st_ino == home
