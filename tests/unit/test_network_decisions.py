"""Test which networks may be made and removed."""

from ipaddress import ip_network

import pytest

from engine.domain.ids import NetworkId
from engine.domain.network.addresses import IPV4_SOURCES, local_source
from engine.domain.network.decisions import (
    NetworkRequest,
    PoolRequest,
    Surroundings,
    check_removable,
    decide_create_network,
)
from engine.domain.network.state import (
    BRIDGE_NAME_OPTION,
    HOST_BINDING_OPTION,
    ICC_OPTION,
    MASQUERADE_OPTION,
    MTU_OPTION,
    Network,
    NetworkRemoved,
    NetworkRemoveRequested,
    Pool,
    evolve,
)
from engine.errors import Conflict, EngineError, Forbidden, InvalidRequest

ID = NetworkId("c" * 64)
OTHER = Network(
    id=NetworkId("d" * 64),
    name="other",
    driver="bridge",
    created_ns=0,
    bridge="br-other",
    ipv4=Pool(subnet="10.1.0.0/24", gateway="10.1.0.1"),
)
SOURCES = (*IPV4_SOURCES, local_source("a" * 32))


def around(*networks: Network, routed: tuple[str, ...] = ()) -> Surroundings:
    return Surroundings(networks=networks, routed=tuple(map(ip_network, routed)), sources=SOURCES)


def made(asked: NetworkRequest, where: Surroundings | None = None) -> Network:
    return evolve(None, decide_create_network(asked, ID, where or around()), 1)


def test_a_network_that_is_only_named_gets_a_bridge_and_a_free_subnet() -> None:
    network = made(NetworkRequest(name="mine"), around(OTHER, routed=("172.17.0.0/16",)))

    assert network.bridge == "br-cccccccccccc"
    assert network.ipv4 == Pool(subnet="172.18.0.0/16", gateway="172.18.0.1")
    assert network.ipv6 is None
    assert network.has_names
    assert (network.icc, network.masquerade, network.mtu) == (True, True, 1500)


def test_a_network_of_both_families_takes_what_it_is_given_and_chooses_the_rest() -> None:
    pool = PoolRequest(
        subnet="10.9.0.0/24", ip_range="10.9.0.128/25", auxiliary={"router": "10.9.0.254"}
    )
    network = made(NetworkRequest(name="mine", enable_ipv6=True, pools=(pool,)))

    assert network.ipv4 is not None
    assert network.ipv4.is_chosen
    assert network.ipv4.gateway == "10.9.0.128"
    assert network.ipv6 is not None
    assert not network.ipv6.is_chosen
    assert ip_network(network.ipv6.subnet).prefixlen == 64


def test_a_network_may_do_without_ipv4() -> None:
    pool = PoolRequest(subnet="fd00:9::/64", gateway="fd00:9::99")
    network = made(NetworkRequest(name="mine", enable_ipv4=False, enable_ipv6=True, pools=(pool,)))

    assert network.pools == (Pool(subnet="fd00:9::/64", gateway="fd00:9::99", is_chosen=True),)


def test_options_say_how_the_bridge_is() -> None:
    network = made(
        NetworkRequest(
            name="mine",
            options={
                BRIDGE_NAME_OPTION: "front0",
                ICC_OPTION: "false",
                MASQUERADE_OPTION: "0",
                MTU_OPTION: "1400",
                HOST_BINDING_OPTION: "127.0.0.1",
            },
        )
    )

    assert network.bridge == "front0"
    assert (network.icc, network.masquerade, network.mtu) == (False, False, 1400)
    assert network.host_binding == "127.0.0.1"


def refusals() -> list[tuple[NetworkRequest, type[EngineError], str]]:
    def pools(*requests: PoolRequest) -> NetworkRequest:
        return NetworkRequest(name="mine", pools=requests)

    outside = "parent subnet 10.2.0.0/24 doesn't contain this address"
    return [
        (NetworkRequest(name=" "), InvalidRequest, "name is empty"),
        (NetworkRequest(name="host"), Forbidden, "not permitted on predefined host network"),
        (NetworkRequest(name="other"), Conflict, "network with name other already exists"),
        (pools(PoolRequest(subnet="10.1.0.0/16")), Forbidden, "Pool overlaps with other one"),
        (pools(PoolRequest(subnet="10.2.0.1/24")), InvalidRequest, "it should be 10.2.0.0/24"),
        (pools(PoolRequest(subnet="ten")), InvalidRequest, "invalid CIDR block notation"),
        (
            pools(PoolRequest(subnet="10.2.0.0/24", gateway="10.3.0.1")),
            InvalidRequest,
            f"invalid gateway 10.3.0.1: {outside}",
        ),
        (
            pools(PoolRequest(subnet="10.2.0.0/24", auxiliary={"a": "10.3.0.1"})),
            InvalidRequest,
            f"invalid auxiliary address 10.3.0.1: {outside}",
        ),
        (
            pools(PoolRequest(subnet="10.2.0.0/24", ip_range="10.3.0.0/25")),
            InvalidRequest,
            "doesn't contain ip-range",
        ),
        (
            pools(PoolRequest(subnet="10.2.0.0/24"), PoolRequest(subnet="10.3.0.0/24")),
            Forbidden,
            "doesn't support multiple subnets",
        ),
        (
            NetworkRequest(name="mine", options={BRIDGE_NAME_OPTION: "br-other"}),
            Forbidden,
            "networks have same bridge name",
        ),
        (
            NetworkRequest(name="mine", options={BRIDGE_NAME_OPTION: "a" * 16}),
            InvalidRequest,
            "invalid bridge name",
        ),
        (
            NetworkRequest(name="mine", options={MTU_OPTION: "much"}),
            InvalidRequest,
            "failed to parse com.docker.network.driver.mtu",
        ),
    ]


@pytest.mark.parametrize(("asked", "error", "words"), refusals())
def test_what_makes_no_network_is_refused(
    asked: NetworkRequest, error: type[EngineError], words: str
) -> None:
    with pytest.raises(error) as refusal:
        decide_create_network(asked, ID, around(OTHER))
    assert words in str(refusal.value)


def test_a_name_is_free_again_when_the_network_goes() -> None:
    going = evolve(OTHER, NetworkRemoveRequested(), 2)
    assert going.is_going
    assert made(NetworkRequest(name="other"), around(going)).name == "other"
    assert evolve(going, NetworkRemoved(name="other"), 3).is_gone


def test_what_is_in_use_or_of_the_engines_own_stays() -> None:
    check_removable(OTHER, ())
    with pytest.raises(Forbidden, match="network other has active endpoints"):
        check_removable(OTHER, (("web", "e" * 64),))
    with pytest.raises(Forbidden, match="bridge is a pre-defined network"):
        check_removable(Network(id=ID, name="bridge", driver="bridge", created_ns=0), ())
