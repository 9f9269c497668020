"""Test that surveys enter only the sandboxes that have changed, and that every change is found."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from engine.domain import naming
from engine.drivers.networks import hints, netns, rtnetlink
from engine.drivers.networks import sandbox as sandboxes
from engine.drivers.networks import sandbox_looks as looks
from engine.drivers.networks.netlink import NETLINK_ROUTE, NetlinkSocket
from engine.drivers.networks.sandbox import Sandbox, Site
from engine.drivers.networks.sandbox_driver import Survey
from tests.kernel.network_world import BRIDGE, INSTANCE, World, in_place, new_world, sandbox

pytestmark = pytest.mark.root
WANTED: Final = [sandbox(number) for number in range(2, 6)]


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Record the pins of the namespaces that were entered."""
    paths: list[Path] = []
    enter = netns.enter

    def entering(path: Path) -> None:
        paths.append(path)
        enter(path)

    monkeypatch.setattr(netns, "enter", entering)
    return paths


@pytest.fixture
def world(tmp_path: Path, entered: list[Path]) -> Iterator[World]:
    """Make four sandboxes that have been surveyed; nothing has been entered since."""
    with new_world(tmp_path) as made:
        made.network.ensure_bridge(BRIDGE)
        made.network.prepare_sandboxes(WANTED)
        made.network.survey(WANTED)
        assert made.network.survey(WANTED).damaged == set()
        entered.clear()
        yield made


def survey(world: World) -> Survey:
    return world.network.survey(WANTED)


def inside(change: Callable[[NetlinkSocket], None]) -> Callable[[], None]:
    def act() -> None:
        with NetlinkSocket() as own:
            change(own)

    return act


def set_down(own: NetlinkSocket) -> None:
    own.transact([rtnetlink.change_link("eth0", up=False)])


def set_up(own: NetlinkSocket) -> None:
    own.transact([rtnetlink.change_link("eth0", up=True)])


def take_address(own: NetlinkSocket) -> None:
    link = rtnetlink.find_link(own, "eth0")
    assert link is not None
    for address in WANTED[0].endpoints[0].addresses:
        own.transact([rtnetlink.delete_address(link.index, address)])


def test_what_has_not_changed_is_not_entered(world: World, entered: list[Path]) -> None:
    assert survey(world).damaged == set()

    assert entered == []


@pytest.mark.parametrize("change", [set_down, take_address])
def test_what_has_changed_is_entered_and_found_damaged(
    world: World, entered: list[Path], change: Callable[[NetlinkSocket], None]
) -> None:
    place = world.place(WANTED[0])
    in_place(place, inside(change))
    entered.clear()

    assert survey(world).damaged == {WANTED[0].id}

    assert entered == [place]


def test_damage_is_looked_at_until_it_is_repaired(world: World, entered: list[Path]) -> None:
    in_place(world.place(WANTED[0]), inside(set_down))
    survey(world)
    assert survey(world).damaged == {WANTED[0].id}

    world.network.prepare_sandbox(WANTED[0])

    assert survey(world).damaged == set()
    survey(world)
    entered.clear()
    survey(world)
    assert entered == []


def test_lost_notifications_cause_an_observation(world: World, entered: list[Path]) -> None:
    place = world.place(WANTED[0])

    def change_often() -> None:
        with NetlinkSocket() as own:
            for _ in range(400):
                set_down(own)
                set_up(own)

    in_place(place, change_often)
    entered.clear()

    assert survey(world).damaged <= {WANTED[0].id}, "its routes went down with the link"
    assert place in entered


def test_a_pin_without_its_namespace_is_found(world: World) -> None:
    pin = world.place(WANTED[1])
    netns.unpin(pin)
    pin.touch()

    assert survey(world).damaged == {WANTED[1].id}


def test_with_a_file_for_their_directory_all_pins_are_lost(world: World) -> None:
    directory = world.place(WANTED[0]).parent
    aside = directory.rename(directory.with_name("aside"))
    directory.touch()

    damaged = survey(world).damaged
    directory.unlink()
    aside.rename(directory)

    assert damaged == {each.id for each in WANTED}


def test_without_descriptors_nothing_is_damaged_and_the_look_comes_later(
    world: World, entered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_sandbox: Sandbox) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    in_place(world.place(WANTED[0]), inside(set_down))
    with monkeypatch.context() as full:
        full.setattr(sandboxes, "look_inside", refuse)
        assert survey(world).damaged == set()
    assert world.network.has_changes(())

    assert survey(world).damaged == {WANTED[0].id}


def test_a_pin_of_another_namespace_is_found(world: World) -> None:
    pin = world.place(WANTED[1])
    netns.unpin(pin)

    def pin_another() -> None:
        netns.leave()
        netns.pin(pin)

    netns.on_own_thread(pin_another)

    assert survey(world).damaged == {WANTED[1].id}


def test_the_hosts_side_is_compared_without_entering(world: World, entered: list[Path]) -> None:
    veth = naming.host_veth(INSTANCE, WANTED[2].id)
    world.kernel.transact([rtnetlink.change_link(veth, master=0)])
    entered.clear()

    assert survey(world).damaged == {WANTED[2].id}

    assert entered == []


def test_a_listing_of_bridges_does_not_hide_a_change_from_the_sweep(world: World) -> None:
    veth = naming.host_veth(INSTANCE, WANTED[2].id)
    world.kernel.transact([rtnetlink.change_link(veth, master=0)])

    world.network.faults_of_bridges((BRIDGE,))  # lists the host's links again

    assert survey(world).damaged == {WANTED[2].id}


def test_all_are_looked_into_after_two_minutes(world: World, entered: list[Path]) -> None:
    now = 0.0
    looking = looks.SandboxLooks(site_of(world), clock=lambda: now)
    links = {link.name: link for link in rtnetlink.links(world.kernel)}
    looking.damaged(WANTED, links, listing=1)
    entered.clear()

    now += looks.LOOK_AGAIN_S / 2
    looking.damaged(WANTED, links, listing=1)
    assert entered == []
    now += looks.LOOK_AGAIN_S
    looking.damaged(WANTED, links, listing=1)

    assert len(entered) == len(WANTED)
    looking.close()


def site_of(world: World) -> Callable[[Sandbox, bool, bool], Site]:
    def site(wanted: Sandbox, hairpin: bool, ipv6: bool) -> Site:
        return Site(
            pin=world.place(wanted),
            veths=naming.host_veths(INSTANCE, wanted.id),
            hairpin=hairpin,
            ipv6=ipv6,
        )

    return site


def test_a_listener_is_notified_of_a_change_once(world: World) -> None:
    listener = hints.listen(NETLINK_ROUTE, hints.LINKS)
    assert not hints.drain(listener)

    world.kernel.transact([rtnetlink.change_link(BRIDGE.name, mtu=1400)])

    assert hints.drain(listener)
    assert not hints.drain(listener)
    listener.close()
