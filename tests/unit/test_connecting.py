"""Test containers that join and leave networks, running or not."""

import pytest
from msgspec.structs import replace

from engine.domain.container.attachment import (
    Connected,
    ConnectFailed,
    Disconnected,
    Endpoint,
    free_slot,
    leader,
    mac_address,
)
from engine.domain.container.attachment_decisions import (
    NotConnected,
    check_connectable,
    decide_connect,
    decide_disconnect,
)
from engine.domain.container.decisions import decide_exited
from engine.domain.container.events import Created, ExitReason
from engine.domain.container.evolution import evolve
from engine.domain.container.phases import Phase
from engine.domain.container.spec import Membership, Spec
from engine.domain.container.state import Container
from engine.domain.event import Event
from engine.domain.ids import ContainerId, ImageId, NetworkId
from engine.domain.network.state import Network, Pool
from engine.errors import Conflict, EngineError, Forbidden, InvalidRequest

FRONT = Network(
    id=NetworkId("f" * 64),
    name="front",
    driver="bridge",
    created_ns=0,
    bridge="br-front",
    ipv4=Pool(subnet="10.1.0.0/24", gateway="10.1.0.1"),
)
HOST = Network(id=NetworkId("1" * 64), name="host", driver="host", created_ns=0)
NONE = Network(id=NetworkId("0" * 64), name="none", driver="null", created_ns=0)
MEMBERSHIP = Membership(name="front", network=FRONT.id, aliases=("web",))
PLACE = Endpoint(
    network=FRONT.id,
    name="front",
    slot=1,
    address="10.1.0.2/24",
    gateway="10.1.0.1",
    mac="02:42:0a:01:00:02",
)


def container(phase: Phase = Phase.CREATED, mode: str = "bridge") -> Container:
    spec = Spec(image="busybox", image_id=ImageId("sha256:" + "1" * 64), network_mode=mode)
    created = Created(id=ContainerId("c" * 64), name="web", spec=spec)
    return replace(evolve(None, created, 1), phase=phase)


def after(state: Container, events: tuple[Event, ...]) -> Container:
    for event in events:
        state = evolve(state, event, 2)
    return state


def names(state: Container) -> list[str]:
    return [each.name for each in state.networks]


def test_a_container_is_in_the_network_of_its_mode_first() -> None:
    assert names(container()) == ["bridge"]
    assert names(container(mode="none")) == []
    assert names(container(mode="host")) == []
    assert names(container(mode="container:" + "e" * 64)) == []
    spec = Spec(
        image="busybox",
        image_id=ImageId("sha256:" + "1" * 64),
        network_mode="back",
        networks=(MEMBERSHIP, Membership(name="back", ipv4="10.2.0.9")),
        mac_address="02:42:00:00:00:01",
    )
    state = evolve(None, Created(id=ContainerId("c" * 64), name="web", spec=spec), 1)
    assert names(state) == ["back", "front"]
    assert [each.mac for each in state.networks] == ["02:42:00:00:00:01", ""]


def test_a_stopped_container_is_connected_at_once_and_gets_its_endpoint_later() -> None:
    state = after(container(), decide_connect(container(), MEMBERSHIP, None))

    assert names(state) == ["bridge", "front"]
    assert (state.orders, state.endpoints) == ((), ())

    left = after(state, decide_disconnect(state, FRONT, force=False))
    assert names(left) == ["bridge"]
    assert left.orders == ()


def test_a_running_container_keeps_its_address_while_it_joins_and_leaves() -> None:
    running = container(Phase.RUNNING)

    joining = after(running, decide_connect(running, MEMBERSHIP, PLACE))
    assert joining.endpoints == joining.desired_endpoints == (PLACE,)
    joined = after(joining, (Connected(order=1),))
    assert joined.orders == ()

    leaving = after(joined, decide_disconnect(joined, FRONT, force=False))
    assert leaving.endpoints == (PLACE,)
    assert leaving.desired_endpoints == ()
    assert names(leaving) == ["bridge"]
    assert after(leaving, (Disconnected(order=2),)).endpoints == ()


def test_a_refused_connection_is_undone_and_its_reason_is_kept() -> None:
    running = container(Phase.RUNNING)
    joining = after(running, decide_connect(running, MEMBERSHIP, PLACE))

    refused = after(joining, (ConnectFailed(order=1, reason="no more links"),))

    assert names(refused) == ["bridge"]
    assert refused.endpoints == ()
    assert [(each.order, each.reason) for each in refused.refusals] == [(1, "no more links")]


def test_the_end_of_a_run_settles_what_was_under_way() -> None:
    running = container(Phase.RUNNING)
    joining = after(running, decide_connect(running, MEMBERSHIP, PLACE))
    leaving = after(joining, decide_disconnect(joining, FRONT, force=False))

    ended = after(
        leaving,
        decide_exited(leaving, code=0, signal=None, oom=False, reason=ExitReason.EXITED, boot_ns=0),
    )

    assert ended.phase is Phase.EXITED
    assert ended.orders == ()
    assert names(ended) == ["bridge"]


@pytest.mark.parametrize(
    ("state", "network", "error", "words"),
    [
        (container(mode="host"), FRONT, InvalidRequest, "sharing network namespace"),
        (container(), HOST, InvalidRequest, "connected to host network"),
        (container(mode="none"), FRONT, InvalidRequest, "in private (none) mode"),
        (container(), NONE, InvalidRequest, "in private (none) mode"),
        (container(mode="container:x"), FRONT, InvalidRequest, "sharing network namespace"),
        (container(Phase.REMOVING), FRONT, Conflict, "is marked for removal"),
        (
            after(container(), decide_connect(container(), MEMBERSHIP, None)),
            FRONT,
            Forbidden,
            "endpoint with name web already exists in network front",
        ),
    ],
)
def test_what_cannot_be_connected_is_refused(
    state: Container, network: Network, error: type[EngineError], words: str
) -> None:
    with pytest.raises(error) as refusal:
        check_connectable(state, network)
    assert words in str(refusal.value)


def test_disconnecting_from_an_unjoined_network_or_the_hosts_is_refused() -> None:
    with pytest.raises(NotConnected, match="is not connected to the network front"):
        decide_disconnect(container(), FRONT, force=False)
    with pytest.raises(InvalidRequest, match="cannot be disconnected from host network"):
        decide_disconnect(container(mode="host"), HOST, force=True)


def test_the_default_route_uses_the_highest_priority_then_the_first_name() -> None:
    back = replace(PLACE, name="back", slot=0)
    inner = replace(PLACE, name="aaa", gateway="")

    assert leader(()) is None
    assert leader((inner,)) is None
    assert leader((PLACE, back, inner)) is back
    assert leader((replace(PLACE, priority=1), back)) == replace(PLACE, priority=1)
    assert leader((PLACE, replace(back, gateway6="fd00::1")), ipv6=True) is not None


def test_an_interface_takes_the_lowest_number_that_is_free() -> None:
    assert free_slot(()) == 0
    assert free_slot((PLACE,)) == 0
    assert free_slot((PLACE, replace(PLACE, slot=0))) == 2


def test_a_mac_address_follows_from_the_address() -> None:
    assert mac_address("172.17.0.2/16") == "02:42:ac:11:00:02"
    assert mac_address("fd00::1:2/64") == "02:42:00:01:00:02"
