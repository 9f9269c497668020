"""What the firewall is told, and how its answers are read."""

from ipaddress import IPv4Address, IPv4Network

from engine.drivers.networks.bridge import mac_of
from engine.drivers.networks.ruleset import (
    ANY_ADDRESS,
    BridgeRules,
    FirewallPlan,
    Protocol,
    PublishedPort,
    additions,
    definition,
    deletions,
    ports_of,
    skeleton_of,
)

CONTAINER = IPv4Address("172.17.0.2")
EVERYWHERE = PublishedPort(Protocol.TCP, ANY_ADDRESS, 8080, CONTAINER, 80)
AT_ONE = PublishedPort(Protocol.UDP, IPv4Address("192.0.2.1"), 53, CONTAINER, 5353)


def test_a_port_is_one_element_of_the_map_that_its_address_calls_for() -> None:
    assert additions("t", [EVERYWHERE, AT_ONE]) == (
        "add element ip t ports { 6 . 8080 : 172.17.0.2 . 80 }\n"
        "add element ip t ports_at { 17 . 192.0.2.1 . 53 : 172.17.0.2 . 5353 }\n"
    )
    assert deletions("t", [EVERYWHERE]) == "delete element ip t ports { 6 . 8080 }\n"


def test_rules_do_not_grow_with_ports() -> None:
    ports = frozenset(
        PublishedPort(Protocol.TCP, ANY_ADDRESS, number, CONTAINER, 80) for number in range(1, 99)
    )

    few = definition("t", FirewallPlan(ports=frozenset({EVERYWHERE})))
    many = definition("t", FirewallPlan(ports=ports))

    assert len(many.splitlines()) == len(few.splitlines())


def test_a_set_without_elements_has_no_word_for_them() -> None:
    assert "elements" not in definition("t", FirewallPlan())


def test_the_definition_is_the_same_in_whatever_order_bridges_came() -> None:
    bridges = [BridgeRules(f"b{n}", IPv4Network(f"10.{n}.0.0/16")) for n in range(9)]

    assert definition("t", FirewallPlan(frozenset(bridges))) == definition(
        "t", FirewallPlan(frozenset(reversed(bridges)))
    )


def test_a_bridge_that_keeps_its_addresses_masquerades_only_what_comes_back_to_it() -> None:
    bridge = BridgeRules("b", IPv4Network("10.0.0.0/16"), masquerade=False)

    text = definition("t", FirewallPlan(frozenset({bridge})))

    assert 'ip saddr 10.0.0.0/16 oifname "b" ct status dnat masquerade' in text
    assert 'oifname != "b"' not in text


LISTING = [
    {"table": {"family": "ip", "name": "t", "handle": 4}},
    {
        "map": {
            "name": "ports",
            "handle": 5,
            "elem": [[{"concat": [6, 8080]}, {"concat": ["172.17.0.2", 80]}]],
        }
    },
    {
        "map": {
            "name": "ports_at",
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
        {"table": {"family": "ip", "name": "t"}},
        {"map": {"name": "ports"}},
        {"map": {"name": "ports_at"}},
        {"set": {"name": "bridges", "elem": ["a", "b"]}},
        {"map": {"name": "empty"}},
    ]


def test_a_mac_address_follows_from_the_address() -> None:
    assert mac_of(IPv4Address("172.17.0.2")) == "02:42:ac:11:00:02"
