"""Framing of netlink messages, against the layout that netlink(7) gives."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from engine.drivers.networks import netlink, rtnetlink


@given(st.dictionaries(st.integers(1, 200), st.binary(max_size=40)))
def test_attributes_come_back_as_they_were_sent(wanted: dict[int, bytes]) -> None:
    body = b"head" + b"".join(netlink.attribute(kind, value) for kind, value in wanted.items())

    assert netlink.attributes(body, 4) == wanted


@given(st.binary(max_size=64))
def test_what_is_no_list_of_attributes_is_read_to_an_end(rubbish: bytes) -> None:
    netlink.attributes(rubbish)


@given(st.binary(max_size=64))
def test_what_is_no_message_is_split_to_an_end(rubbish: bytes) -> None:
    assert len(list(netlink.split(rubbish))) <= 4


def test_an_attribute_is_padded_to_four_bytes_and_its_length_is_not() -> None:
    assert netlink.text(3, "br0") == struct.pack("=HH4s", 8, 3, b"br0\0")
    assert netlink.u8(4, 1) == struct.pack("=HHB3x", 5, 4, 1)


def test_a_datagram_is_split_into_its_messages() -> None:
    one = struct.pack("=IHHII3sx", 19, 16, 0, 7, 0, b"abc")
    two = struct.pack("=IHHII", 16, 3, 2, 8, 99)

    messages = list(netlink.split(one + two))

    assert messages == [
        netlink.Message(kind=16, flags=0, sequence=7, port=0, body=b"abc"),
        netlink.Message(kind=3, flags=2, sequence=8, port=99, body=b""),
    ]


def test_changing_a_link_says_what_is_to_change_and_nothing_else() -> None:
    request = rtnetlink.change_link(7, master=0)

    assert request.body[:16] == struct.pack("=BxHiII", 0, 0, 7, 0, 0)
    assert netlink.attributes(request.body, 16) == {rtnetlink.IFLA_MASTER: bytes(4)}


def test_down_is_a_change_and_not_the_lack_of_one() -> None:
    down = struct.unpack_from("=II", rtnetlink.change_link("eth0", up=False).body, 8)
    untouched = struct.unpack_from("=II", rtnetlink.change_link("eth0").body, 8)

    assert (down, untouched) == ((0, rtnetlink.IFF_UP), (0, 0))
