"""Test that addresses are given in order, never twice, and never one that is reserved already."""

from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.ids import NetworkId
from engine.domain.network.addresses import (
    IPV4_SOURCES,
    AddressesExhausted,
    AddressInUse,
    NoSubnetLeft,
    SubnetSource,
    SubnetTaken,
    Used,
    check_subnet_free,
    first_address,
    fixed,
    free_subnet,
    local_source,
    lowest_free,
)
from engine.domain.network.state import Network, Pool
from engine.errors import InvalidRequest

POOL = Pool(subnet="172.20.0.0/24", gateway="172.20.0.1")
NETWORK = Network(
    id=NetworkId("a" * 64), name="mine", driver="bridge", created_ns=0, bridge="br0", ipv4=POOL
)


def held(*addresses: str) -> Used:
    return Used({int(ip_address(each)) for each in addresses})


def test_subnets_are_tried_in_dockers_order_and_what_is_routed_is_left_out() -> None:
    assert str(free_subnet(IPV4_SOURCES, ())) == "172.17.0.0/16"
    routed = [ip_network("172.16.0.0/14")]
    assert str(free_subnet(IPV4_SOURCES, routed)) == "172.20.0.0/16"
    everything = [ip_network("172.16.0.0/12"), ip_network("192.168.0.0/20")]
    assert str(free_subnet(IPV4_SOURCES, everything)) == "192.168.16.0/20"


def test_when_every_subnet_is_taken_a_network_is_refused() -> None:
    source = SubnetSource(ip_network("10.0.0.0/30"), 31)
    with pytest.raises(NoSubnetLeft, match="could not find an available, non-overlapping"):
        free_subnet([source], [ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


def test_each_instance_has_ipv6_subnets_of_its_own() -> None:
    one, other = local_source("a" * 32), local_source("b" * 32)

    assert one.base != other.base
    assert one.base.subnet_of(ip_network("fd00::/8"))  # type: ignore[arg-type]  # both of IPv6
    assert free_subnet([one], ()).prefixlen == 64


def test_a_subnet_that_overlaps_another_is_refused() -> None:
    check_subnet_free(ip_network("10.0.1.0/24"), [ip_network("10.0.0.0/24")])
    with pytest.raises(SubnetTaken, match="Pool overlaps with other one on this address space"):
        check_subnet_free(ip_network("10.0.0.0/16"), [ip_network("10.0.0.0/24")])


def test_addresses_are_given_out_from_the_lowest() -> None:
    assert first_address(ip_network(POOL.subnet)) == POOL.gateway
    assert lowest_free(NETWORK, POOL, held(), 2) == ("172.20.0.2/24", "172.20.0.3/24")
    assert lowest_free(NETWORK, POOL, held("172.20.0.2", "172.20.0.4"), 2) == (
        "172.20.0.3/24",
        "172.20.0.5/24",
    )


def test_reserved_and_auxiliary_addresses_are_not_given_out() -> None:
    pool = Pool(subnet="172.20.0.0/24", gateway="172.20.0.1", auxiliary={"router": "172.20.0.2"})
    reserved = {int(ip_address("172.20.0.3"))}

    assert lowest_free(NETWORK, pool, Used({}, reserved)) == ("172.20.0.4/24",)


def test_a_range_limits_what_is_given_out_and_not_what_may_be_asked_for() -> None:
    pool = Pool(subnet="172.20.0.0/24", gateway="172.20.0.1", ip_range="172.20.0.128/30")

    found = lowest_free(NETWORK, pool, held(), 10)

    assert found == tuple(f"172.20.0.{number}/24" for number in range(128, 132))
    assert fixed(NETWORK, pool, "172.20.0.9", held()) == "172.20.0.9/24"


def test_the_last_address_is_the_broadcast_one_in_ipv4_alone() -> None:
    small = Pool(subnet="10.0.0.0/30", gateway="10.0.0.1")
    assert lowest_free(NETWORK, small, held(), 10) == ("10.0.0.2/30",)
    small = Pool(subnet="fd00::/126", gateway="fd00::1")
    assert lowest_free(NETWORK, small, held(), 10) == ("fd00::2/126", "fd00::3/126")


def test_a_full_network_is_reported() -> None:
    pool = Pool(subnet="10.0.0.0/30", gateway="10.0.0.1")
    with pytest.raises(AddressesExhausted, match="no available IPv4 addresses"):
        lowest_free(NETWORK, pool, held("10.0.0.2"))


def test_a_requested_address_must_be_in_the_network_and_free() -> None:
    assert fixed(NETWORK, POOL, "172.20.0.7", held()) == "172.20.0.7/24"
    with pytest.raises(AddressInUse, match="Address already in use"):
        fixed(NETWORK, POOL, "172.20.0.7", held("172.20.0.7"))
    with pytest.raises(AddressInUse, match="Address already in use"):
        fixed(NETWORK, POOL, POOL.gateway, held())
    with pytest.raises(InvalidRequest, match="no configured subnet"):
        fixed(NETWORK, POOL, "172.21.0.7", held())
    with pytest.raises(InvalidRequest, match="no configured subnet"):
        fixed(NETWORK, None, "fd00::7", held())


@given(st.sets(st.integers(0, 255)), st.sets(st.integers(0, 255)), st.integers(1, 20))
def test_whatever_is_in_use_what_is_given_out_is_free_in_order_and_in_the_subnet(
    used: set[int], reserved: set[int], count: int
) -> None:
    first = int(ip_address("172.20.0.0"))
    taken = Used({first + each for each in used}, {first + each for each in reserved})
    free = 254 - len((used | reserved | {1}) & set(range(1, 255)))
    if not free:
        return

    found = [ip_interface(each) for each in lowest_free(NETWORK, POOL, taken, count)]

    numbers = [int(each.ip) - first for each in found]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == min(count, free)
    assert not set(numbers) & (used | reserved | {0, 1, 255})
