"""Test netlink messages: what is sent, byte by byte as in netlink(7) and the kernel's headers, and
what is read.
"""

import struct
from collections.abc import Callable
from ipaddress import IPv4Interface, IPv6Interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.drivers.networks import conntrack, link_kinds, messages, netlink, rtnetlink, watch
from engine.drivers.networks.link_kinds import Stacking
from engine.drivers.networks.netlink import Message
from engine.drivers.networks.rtnetlink import Link, Port, Route

NESTED = 0x8000
PARSERS: list[Callable[[bytes], object]] = [
    rtnetlink.parse_link,
    lambda body: rtnetlink.parse_addresses([b"\x02" + body]),
    lambda body: rtnetlink.parse_routes([b"\x02" + bytes(6) + b"\x01" + body]),
    lambda body: messages.decode(messages.GENERATION, body),
    messages.refusal_words,
]


def attribute(kind: int, value: bytes) -> bytes:
    """Build one attribute without any library: length and type in the machine's byte order, padded
    to four bytes.
    """
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def link_header(index: int = 0, flags: int = 0, change: int = 0, family: int = 0) -> bytes:
    return struct.pack("=BxHiII", family, 0, index, flags, change)


@given(st.binary(max_size=64), st.sampled_from(PARSERS))
def test_what_is_no_message_is_refused_or_read_to_an_end(
    rubbish: bytes, parse: Callable[[bytes], object]
) -> None:
    try:
        parse(rubbish)
    except OSError as refusal:
        message = str(refusal)
    except ValueError as no_address:
        message = str(no_address)
    else:
        return
    assert message


@given(st.binary(max_size=64))
def test_the_essence_of_malformed_attributes_is_idempotent(rubbish: bytes) -> None:
    once = messages.essence(messages.LINK, link_header() + attribute(18, rubbish))

    assert messages.essence(messages.LINK, once) == once


def test_counters_do_not_count_as_a_change_of_a_link() -> None:
    name, info = attribute(3, b"v0\0"), attribute(18, attribute(1, b"veth\0"))
    few, many = (link_header(7) + name + attribute(23, each) + info for each in (b"1", b"2"))

    assert messages.essence(messages.LINK, few) == messages.essence(messages.LINK, many)
    assert messages.essence(messages.LINK, few) == link_header(7) + name + info


@given(st.binary(max_size=64))
def test_what_is_no_datagram_is_split_to_an_end(rubbish: bytes) -> None:
    assert len(list(netlink.split(rubbish))) <= 4


def test_a_datagram_is_split_into_its_messages() -> None:
    one = struct.pack("=IHHII3sx", 19, 16, 0, 7, 0, b"abc")
    two = struct.pack("=IHHII", 16, 3, 2, 8, 99)

    assert list(netlink.split(one + two)) == [
        Message(kind=16, flags=0, sequence=7, body=b"abc"),
        Message(kind=3, flags=2, sequence=8, body=b""),
    ]


def test_changing_a_link_says_what_is_to_change_and_nothing_else() -> None:
    assert rtnetlink.change_link(7, master=0).body == link_header(7) + number(10, 0)


def test_a_link_that_goes_down_is_a_change() -> None:
    down = rtnetlink.change_link("eth0", up=False).body
    untouched = rtnetlink.change_link("eth0").body

    assert down == link_header(change=1) + attribute(3, b"eth0\0")
    assert untouched == link_header() + attribute(3, b"eth0\0")


def test_a_name_is_counted_in_bytes() -> None:
    assert rtnetlink.delete_link("é0").body == link_header() + attribute(3, b"\xc3\xa90\0")


def test_a_veth_pair_is_described_with_its_other_end_inside() -> None:
    peer = (
        link_header()
        + attribute(3, b"eth0\0")
        + attribute(1, bytes.fromhex("0242ac110002"))
        + number(4, 1500)
        + number(28, 9)
    )
    info = attribute(1, b"veth\0") + attribute(2, attribute(1, peer))

    request = link_kinds.create_veth("v0", "eth0", "02:42:ac:11:00:02", 9, 1500)

    assert request.body == (
        link_header() + attribute(3, b"v0\0") + number(4, 1500) + attribute(18, info)
    )


@pytest.mark.parametrize(
    ("stacking", "mode"),
    [
        (Stacking("macvlan", 4), struct.pack("=I", 4)),
        (Stacking("ipvlan", 1), struct.pack("=H", 1)),
    ],
)
def test_a_stacked_links_mode_has_the_width_of_its_kind(stacking: Stacking, mode: bytes) -> None:
    info = attribute(1, stacking.kind.encode() + b"\0") + attribute(2, attribute(1, mode))

    request = link_kinds.create_stacked_link(3, "eth0", stacking, "", 9, 0)

    assert request.body == (
        link_header() + attribute(3, b"eth0\0") + number(5, 3) + number(28, 9) + attribute(18, info)
    )


def test_a_bridge_port_is_isolated_by_a_message_of_the_bridge_family() -> None:
    port = attribute(1, b"\0") + attribute(24, b"")

    assert rtnetlink.silence_port(7).body == link_header(7, family=7) + attribute(12 | NESTED, port)


def test_an_address_is_sent_with_its_broadcast_or_without_a_search_for_duplicates() -> None:
    four, six = IPv4Interface("10.1.2.3/24"), IPv6Interface("fd00::3/64")

    assert rtnetlink.add_address(5, four).body == (
        struct.pack("=BBBBi", 2, 24, 0, 0, 5)
        + attribute(2, four.ip.packed)
        + attribute(1, four.ip.packed)
        + attribute(4, bytes((10, 1, 2, 255)))
    )
    assert rtnetlink.add_address(5, six).body == (
        struct.pack("=BBBBi", 10, 64, 0, 0, 5)
        + attribute(2, six.ip.packed)
        + attribute(1, six.ip.packed)
        + number(8, 0x02)
    )


def test_a_link_is_parsed_without_unneeded_attributes() -> None:
    port = attribute(4, b"\1") + attribute(33, b"\1")
    info = attribute(1, b"veth\0") + attribute(4, b"bridge\0") + attribute(5, port)
    body = (
        link_header(7, flags=1)
        + attribute(3, b"v0\0")
        + attribute(23, bytes(200))  # IFLA_STATS64
        + attribute(1, bytes.fromhex("0242ac110002"))
        + number(4, 1500)
        + number(5, 2)
        + number(10, 3)
        + attribute(20, b"mine\0")
        + attribute(18 | NESTED, info)
    )

    assert rtnetlink.parse_link(body) == Link(
        index=7,
        name="v0",
        up=True,
        mtu=1500,
        mac="02:42:ac:11:00:02",
        peer=2,
        master=3,
        kind="veth",
        alias="mine",
        port=Port(hairpin=True, isolated=True),
    )


def test_a_tunnels_link_whose_address_is_no_mac_is_read(caplog: pytest.LogCaptureFixture) -> None:
    body = link_header(9) + attribute(3, b"sit0\0") + attribute(1, bytes(4))

    link = rtnetlink.parse_link(body)

    assert (link.name, link.mac, link.kind) == ("sit0", "00:00:00:00", "")
    assert not caplog.records


def test_routes_to_elsewhere_are_read_and_the_hosts_own_are_not() -> None:
    default = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + number(4, 5)
    subnet = struct.pack("=BBBBBBBBI", 10, 64, 0, 0, 254, 2, 0, 1, 0) + attribute(
        1, ip_network("fd00::/64").network_address.packed
    )
    own = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 255, 2, 254, 2, 0) + attribute(1, bytes(4))

    assert rtnetlink.parse_routes([default, subnet, own]) == [
        Route(ip_network("0.0.0.0/0"), None, 5),
        Route(ip_network("fd00::/64"), None, 0),
    ]


def test_the_kernels_own_words_are_found_behind_the_refused_request() -> None:
    refused = struct.pack("=IHHII", 24, 16, 5, 1, 0) + bytes(8)
    body = struct.pack("=i", -22) + refused + attribute(1, b"Invalid MTU\0")

    assert messages.refusal_words(body) == "Invalid MTU"


def test_a_connection_is_deleted_by_both_of_its_ends() -> None:
    ends = attribute(1, bytes((192, 0, 2, 1))) + attribute(2, bytes((192, 0, 2, 9)))
    ports = attribute(1, b"\x11") + attribute(2, b"\x10\0") + attribute(3, b"\0\x35")
    tuple_ = attribute(1, attribute(1 | NESTED, ends) + attribute(2 | NESTED, ports))

    request = conntrack.delete(4, 53, struct.pack("=BBH", 2, 0, 0) + tuple_)

    assert request.body == struct.pack("=BBH", 2, 1, 0) + attribute(
        1, attribute(1, ends) + attribute(2, ports)
    )


def notice(kind: int, index: int, *, up: bool = True, family: int = 0) -> Message:
    return Message(kind, 0, 0, link_header(index, flags=int(up), family=family))


NEW, GONE, LOST_ADDRESS = rtnetlink.RTM_NEWLINK, rtnetlink.RTM_DELLINK, rtnetlink.RTM_DELADDR
BRIDGE = 7


@pytest.mark.parametrize(
    ("notices", "expected"),
    [
        pytest.param([], False, id="nothing"),
        pytest.param([None], True, id="some-were-lost"),
        pytest.param([notice(NEW, 5, up=False)], True, id="down"),
        pytest.param([notice(NEW, 5, up=False), notice(NEW, 5)], False, id="down-then-up"),
        pytest.param([notice(NEW, 5, up=False), notice(NEW, 6)], True, id="another-is-up"),
        pytest.param([notice(NEW, 5), notice(GONE, 5)], True, id="gone"),
        pytest.param([notice(GONE, 5, family=BRIDGE), notice(NEW, 5)], True, id="unplugged"),
        pytest.param(
            [notice(GONE, 5, family=BRIDGE), notice(NEW, 5, family=BRIDGE), notice(NEW, 5)],
            False,
            id="plugged-in-elsewhere",
        ),
        pytest.param([notice(LOST_ADDRESS, 5)], True, id="an-address-was-lost"),
    ],
)
def test_a_hint_causes_an_observation_only_when_something_is_missing(
    notices: list[Message | None], expected: bool
) -> None:
    assert watch.requires_sweep(notices) is expected
