"""Test the firewall's commands, and how its answers are read."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from engine.drivers.networks.ruleset import (
    ANY_ADDRESS,
    ANY_ADDRESS_6,
    BridgeRules,
    FirewallPlan,
    Protocol,
    PublishedPort,
    additions,
    bridge_additions,
    bridge_deletions,
    definition,
    deletions,
    ports_of,
    replacement,
    skeleton_of,
)

CONTAINER = IPv4Address("172.17.0.2")
EVERYWHERE = PublishedPort(Protocol.TCP, ANY_ADDRESS, 8080, CONTAINER, 80)
AT_ONE = PublishedPort(Protocol.UDP, IPv4Address("192.0.2.1"), 53, CONTAINER, 5353)


def test_a_port_is_one_element_of_the_map_that_its_address_calls_for() -> None:
    assert additions("t", [EVERYWHERE, AT_ONE]) == (
        "add element inet t ports4 { 6 . 8080 : 172.17.0.2 . 80 }\n"
        "add element inet t ports4_at { 17 . 192.0.2.1 . 53 : 172.17.0.2 . 5353 }\n"
    )
    assert deletions("t", [EVERYWHERE]) == "delete element inet t ports4 { 6 . 8080 }\n"


def test_ports_of_both_versions_have_maps_of_their_own() -> None:
    six = PublishedPort(Protocol.TCP, ANY_ADDRESS_6, 8080, IPv6Address("fd00::2"), 80)
    at_one = PublishedPort(
        Protocol.TCP, IPv6Address("2001:db8::1"), 8080, IPv6Address("fd00::2"), 80
    )

    assert additions("t", [six, at_one]) == (
        "add element inet t ports6 { 6 . 8080 : fd00::2 . 80 }\n"
        "add element inet t ports6_at { 6 . 2001:db8::1 . 8080 : fd00::2 . 80 }\n"
    )


def test_rules_grow_neither_with_ports_nor_with_bridges() -> None:
    rules = definition("t")
    ports = frozenset(
        PublishedPort(Protocol.TCP, ANY_ADDRESS, number, CONTAINER, 80) for number in range(1, 99)
    )
    bridges = frozenset(BridgeRules(f"b{n}", (IPv4Network(f"10.{n}.0.0/16"),)) for n in range(9))

    whole = replacement("t", FirewallPlan(bridges, ports))

    assert rules in whole
    assert "elements" not in rules


def test_what_is_added_for_a_bridge_is_what_is_deleted() -> None:
    bridge = BridgeRules("b", (IPv4Network("10.0.0.0/16"), IPv6Network("fd00::/64")))

    added, deleted = bridge_additions("t", [bridge]), bridge_deletions("t", [bridge])

    assert added.replace("add ", "delete ") == deleted
    assert 'add element inet t home6 { fd00::/64 . "b" }' in added


def test_a_bridges_options_show_in_the_sets_that_it_is_in() -> None:
    def sets(**options: bool) -> set[str]:
        bridge = BridgeRules("b", (IPv4Network("10.0.0.0/16"),), **options)
        return {line.split()[4] for line in bridge_additions("t", [bridge]).splitlines()}

    usual = {"bridges", "within", "sources4", "home4", "masquerade4"}
    assert sets() == usual
    assert sets(masquerade=False) == usual - {"masquerade4"}
    assert sets(icc=False) == usual - {"within"}
    assert sets(internal=True) == usual - {"masquerade4"} | {"internal"}


LISTING = [
    {"table": {"family": "inet", "name": "t", "handle": 4}},
    {
        "map": {
            "name": "ports4",
            "handle": 5,
            "elem": [[{"concat": [6, 8080]}, {"concat": ["172.17.0.2", 80]}]],
        }
    },
    {
        "map": {
            "name": "ports4_at",
            "handle": 6,
            "elem": [[{"concat": ["17", "192.0.2.1", 53]}, {"concat": ["172.17.0.2", 5353]}]],
        }
    },
    {"set": {"name": "bridges", "handle": 7, "elem": ["b", "a"]}},
    {"map": {"name": "empty", "handle": 8}},
]


def test_ports_are_read_from_a_listing() -> None:
    assert ports_of(LISTING) == {EVERYWHERE, AT_ONE}


def test_a_skeleton_has_neither_ports_nor_handles_nor_an_order_of_elements() -> None:
    assert skeleton_of(LISTING) == [
        {"table": {"family": "inet", "name": "t"}},
        {"map": {"name": "ports4"}},
        {"map": {"name": "ports4_at"}},
        {"set": {"name": "bridges", "elem": ["a", "b"]}},
        {"map": {"name": "empty"}},
    ]
