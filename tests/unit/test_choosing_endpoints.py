"""Test places in networks: free ones, requested ones, and impossible ones."""

from ipaddress import ip_address

import pytest

from engine.domain.container.endpoints import (
    choose_endpoint,
    choose_endpoints,
    network_of,
    next_endpoints,
    with_networks,
)
from engine.domain.container.spec import Membership, Spec
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ImageId, NetworkId
from engine.domain.network.addresses import AddressesExhausted, AddressInUse, Used
from engine.domain.network.macvlan import IPVLAN
from engine.domain.network.state import DEFAULT_BRIDGE_OPTION, Network, Pool
from engine.errors import InvalidRequest, NotFound

POOL = Pool(subnet="172.30.0.0/29", gateway="172.30.0.1", is_chosen=True)
POOL6 = Pool(subnet="fd00:1::/64", gateway="fd00:1::1")


def network(name: str, **fields: object) -> Network:
    known = {"driver": "bridge", "bridge": f"br-{name}", "ipv4": POOL, "created_ns": 1, **fields}
    return Network(id=NetworkId(name[0] * 64), name=name, **known)  # type: ignore[arg-type]  # by name


class Known:
    """Networks, and addresses that other containers have."""

    def __init__(self, *networks: Network, held: tuple[str, ...] = ()) -> None:
        self.networks = {each.id: each for each in networks}
        self._held = frozenset(int(ip_address(each)) for each in held)

    def network(self, reference: str) -> Network:
        for each in self.networks.values():
            if reference in (each.id, each.name) and not each.is_going:
                return each
        raise NotFound(reference)

    def used_addresses(self, _network: Network, _version: int) -> Used:
        return Used(self._held)


MINE = network("mine")
MEMBERSHIP = Membership(name="mine", network=MINE.id)


def test_the_lowest_free_address_of_each_family_is_chosen() -> None:
    both = network("mine", ipv6=POOL6)

    chosen = choose_endpoint(Known(both, held=("172.30.0.2",)), both, MEMBERSHIP, slot=1)

    assert (chosen.address, chosen.address6) == ("172.30.0.3/29", "fd00:1::2/64")
    assert (chosen.gateway, chosen.gateway6) == ("172.30.0.1", "fd00:1::1")
    assert (chosen.mac, chosen.slot) == ("02:42:ac:1e:00:03", 1)


def test_an_internal_network_has_no_gateway_and_ipvlan_no_mac() -> None:
    inner = network("mine", internal=True, driver=IPVLAN)

    chosen = choose_endpoint(Known(inner), inner, MEMBERSHIP, slot=0)

    assert (chosen.gateway, chosen.mac) == ("", "")


def test_a_requested_address_is_given_unless_it_is_in_use() -> None:
    membership = Membership(name="mine", network=MINE.id, ipv4="172.30.0.5")

    assert choose_endpoint(Known(MINE), MINE, membership, 0).address == "172.30.0.5/29"
    with pytest.raises(AddressInUse):
        choose_endpoint(Known(MINE, held=("172.30.0.5",)), MINE, membership, 0)


def test_an_address_can_be_requested_only_in_a_chosen_subnet() -> None:
    membership = Membership(name="bridge", ipv4="172.30.0.5")
    default = network("bridge", options={DEFAULT_BRIDGE_OPTION: "true"})
    ours = network("ours", ipv4=Pool(subnet="172.30.0.0/29", gateway="172.30.0.1"))

    with pytest.raises(InvalidRequest, match="user defined networks only"):
        choose_endpoint(Known(default), default, membership, 0)
    with pytest.raises(InvalidRequest, match="user configured subnets"):
        choose_endpoint(Known(ours), ours, membership, 0)


def test_the_next_places_are_those_that_starts_will_be_given() -> None:
    known = Known(MINE, held=("172.30.0.3",))

    offered = next_endpoints(known, MINE, 9)

    assert [each.address for each in offered] == [
        f"172.30.0.{number}/29" for number in (2, 4, 5, 6)
    ]
    assert offered[0] == choose_endpoint(known, MINE, MEMBERSHIP, 0)
    with pytest.raises(AddressesExhausted):
        next_endpoints(Known(MINE, held=tuple(f"172.30.0.{n}" for n in range(2, 7))), MINE, 1)


def test_a_request_means_the_network_it_was_made_for_or_else_one_of_the_name() -> None:
    again = network("again")

    assert network_of(Known(MINE), MEMBERSHIP) == MINE
    assert network_of(Known(again), Membership(name="again", network="gone")) == again
    with pytest.raises(NotFound):
        network_of(Known(again), MEMBERSHIP)


def test_a_new_container_may_name_any_existing_network() -> None:
    spec = Spec(
        image="busybox",
        image_id=ImageId("sha256:1"),
        network_mode="mine",
        networks=(Membership(name="mine"), Membership(name="later")),
    )

    named = with_networks(Known(MINE), spec).networks

    assert [(each.name, each.network) for each in named] == [("mine", MINE.id), ("later", "")]


def test_a_container_gets_an_endpoint_in_each_of_its_networks_in_order() -> None:
    other = network("other")
    container = Container(
        id=ContainerId("c" * 64),
        name="web",
        spec=Spec(image="busybox", image_id=ImageId("sha256:1")),
        created_ns=1,
        networks=(Membership(name="other"), MEMBERSHIP),
    )

    places = choose_endpoints(Known(MINE, other), container)

    assert [(each.name, each.slot) for each in places] == [("other", 0), ("mine", 1)]
