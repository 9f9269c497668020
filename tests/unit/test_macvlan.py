"""Test parents of macvlan and ipvlan networks: which link, in which mode, for which network."""

from collections.abc import Mapping

import pytest

from engine.domain.ids import NetworkId
from engine.domain.network.macvlan import (
    decide_parent,
    has_routed_links,
    is_dummy,
    mode_name,
    vlan_of,
)
from engine.domain.network.state import Network
from engine.errors import Forbidden, InvalidRequest

ID = NetworkId("0123456789abcdef" * 4)


def network(driver: str, parent: str, **options: str) -> Network:
    return Network(id=ID, name="other", driver=driver, created_ns=0, bridge=parent, options=options)


@pytest.mark.parametrize(
    ("options", "parent"),
    [
        ({"parent": "eth0"}, "eth0"),
        ({"parent": "eth0.10", "macvlan_mode": "vepa"}, "eth0.10"),
        ({}, "dm-0123456789ab"),
        ({"parent": ""}, "dm-0123456789ab"),
    ],
)
def test_a_parent_is_the_requested_link_or_a_dummy(options: Mapping[str, str], parent: str) -> None:
    assert decide_parent("macvlan", options, ID, ()) == parent
    assert is_dummy(parent) == ("parent" not in options or not options["parent"])


def test_loopback_and_what_another_network_has_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="loopback interface is not a valid ipvlan parent"):
        decide_parent("ipvlan", {"parent": "lo"}, ID, ())
    with pytest.raises(Forbidden, match="network other is already using parent interface eth0"):
        decide_parent("macvlan", {"parent": "eth0"}, ID, (network("macvlan", "eth0"),))


@pytest.mark.parametrize(
    ("driver", "mode"), [("macvlan", "l2"), ("ipvlan", "bridge"), ("macvlan", "odd")]
)
def test_a_mode_of_the_other_kind_or_of_none_is_refused(driver: str, mode: str) -> None:
    with pytest.raises(InvalidRequest, match=f"requested {driver} mode '{mode}' is not valid"):
        decide_parent(driver, {"parent": "eth0", f"{driver}_mode": mode}, ID, ())


def test_each_kind_has_its_own_default_mode() -> None:
    assert mode_name("macvlan", {}) == "bridge"
    assert mode_name("ipvlan", {"macvlan_mode": "vepa"}) == "l2"


@pytest.mark.parametrize(
    ("driver", "mode", "routed"),
    [("ipvlan", "l2", False), ("ipvlan", "l3", True), ("ipvlan", "l3s", True)],
)
def test_links_of_layer_three_need_no_gateway(driver: str, mode: str, routed: bool) -> None:
    assert has_routed_links(network(driver, "eth0", ipvlan_mode=mode)) == routed


@pytest.mark.parametrize(
    ("link", "vlan"),
    [
        ("eth0.10", ("eth0", 10)),
        ("br.lan.4094", ("br.lan", 4094)),
        ("eth0", None),
        ("eth0.0", None),
        ("eth0.4095", None),
        ("eth0.x", None),
        (".7", None),
    ],
)
def test_a_vlan_is_recognised_by_its_name(link: str, vlan: tuple[str, int] | None) -> None:
    assert vlan_of(link) == vlan
