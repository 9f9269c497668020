"""Test that a view finds live objects by each of their keys, and keeps nothing of removed ones."""

from collections.abc import Iterator

import pytest

from engine.domain.container.attachment import Endpoint
from engine.domain.container.phases import Phase
from engine.domain.container.spec import Membership, PortBinding, Spec
from engine.domain.container.state import Container
from engine.domain.exec.state import Exec, ExecPhase, ExecSpec
from engine.domain.ids import ContainerId, ExecId, ImageId, NetworkId
from engine.domain.network.state import Network
from engine.domain.streams import container_stream, exec_stream, network_stream
from engine.errors import InvalidRequest, NotFound
from engine.store.container_index import NameInUse, NoSuchContainer
from engine.store.exec_index import NoSuchExec
from engine.store.projections import View
from engine.store.states import State

SHIP, TUG, TARGET = ContainerId("a1" * 32), ContainerId("a2" * 32), ContainerId("c" * 64)
RUN, NET = ExecId("e" * 64), NetworkId("d1" * 32)
NETWORK = Network(id=NET, name="harbour", driver="bridge", bridge="br-1", created_ns=1)
EXEC = Exec(id=RUN, container=SHIP, spec=ExecSpec(arguments=("true",)))


def container(identity: ContainerId, name: str, phase: Phase = Phase.RUNNING) -> Container:
    return Container(
        id=identity,
        name=name,
        spec=Spec(
            image="busybox",
            image_id=ImageId("sha256:" + "0" * 64),
            links=(f"{TARGET}:target:alias",),
        ),
        created_ns=1,
        phase=phase,
        networks=(Membership(name="harbour", ipv4="10.0.0.9"),),
        endpoints=(Endpoint(network=NET, name="harbour", address="10.0.0.9/24", mac="02:00"),),
        ports=(PortBinding(container_port=80, host_port=8080, host_ip="0.0.0.0"),),
    )


@pytest.fixture
def view() -> View:
    made = View()
    made.put(network_stream(NET), 1, NETWORK)
    made.put(container_stream(SHIP), 3, container(SHIP, "ship"))
    made.put(exec_stream(SHIP, RUN), 1, EXEC)
    return made


def collections(view: View) -> Iterator[tuple[str, int]]:
    """Return every collection of a view and of its indexes that has an entry."""
    parts = [view, *(part for index in view._indexes.values() for part in index)]
    for part in parts:
        for name, value in vars(part).items():
            if isinstance(value, dict) and value and name != "_indexes":
                yield f"{type(part).__name__}.{name}", len(value)


def test_a_container_is_found_by_each_of_its_keys(view: View) -> None:
    for reference in (SHIP, SHIP[:5], "ship", "/ship"):
        assert view.container(reference).id == SHIP

    assert view.linked_to[TARGET] == {SHIP}
    assert view.execs_of[SHIP] == {RUN: EXEC}
    assert view.members(NET) == view.publishers() == (view.containers[SHIP],)
    assert view.is_used(NET)


@pytest.mark.parametrize("reference", ["", "b", "nobody", "/"])
def test_what_is_not_there_is_not_found(view: View, reference: str) -> None:
    with pytest.raises(NoSuchContainer):
        view.container(reference)
    with pytest.raises(NoSuchExec):
        view.execution(reference)
    with pytest.raises(NotFound):
        view.network(reference)


def test_the_beginning_of_two_ids_is_refused(view: View) -> None:
    view.put(container_stream(TUG), 1, container(TUG, "tug", Phase.CREATED))
    view.put(network_stream(NetworkId("d2" * 32)), 1, replaced(NETWORK, id=NetworkId("d2" * 32)))

    with pytest.raises(InvalidRequest, match="Multiple IDs"):
        view.container("a")
    with pytest.raises(InvalidRequest, match="ambiguous"):
        view.network("d")


def replaced(network: Network, id: NetworkId) -> Network:  # noqa: A002
    return Network(id=id, name="other", driver=network.driver, created_ns=1)


def test_a_name_is_taken_until_its_container_is_being_removed(view: View) -> None:
    with pytest.raises(NameInUse):
        view.check_name_free("ship")

    view.put(container_stream(SHIP), 4, container(SHIP, "ship", Phase.REMOVING))

    view.check_name_free("ship")


@pytest.mark.parametrize("asked", ["", "0.0.0.0", "127.0.0.1"])
def test_a_port_at_every_address_is_held_at_each(view: View, asked: str) -> None:
    wanted = PortBinding(container_port=1, host_port=8080, host_ip=asked)

    assert view.port_holder(wanted) == SHIP


def test_a_port_at_one_address_is_free_at_another() -> None:
    view, port = View(), PortBinding(container_port=1, host_port=1, host_ip="127.0.0.1")
    ship = container(SHIP, "ship")
    view.put(container_stream(SHIP), 1, with_ports(ship, port))

    assert view.port_holder(port) == SHIP
    other = PortBinding(container_port=1, host_port=1, host_ip="127.0.0.2")
    assert view.port_holder(other) is None


def with_ports(ship: Container, *ports: PortBinding) -> Container:
    return Container(
        id=ship.id, name=ship.name, spec=ship.spec, created_ns=1, phase=ship.phase, ports=ports
    )


def test_an_ended_container_keeps_only_its_reserved_address(view: View) -> None:
    view.put(container_stream(SHIP), 4, container(SHIP, "ship", Phase.EXITED))

    assert not view.is_used(NET)
    assert not view.publishers()
    used = view.used_addresses(NETWORK, 4)
    assert list(used.held) == []  # type: ignore[call-overload]
    assert int.from_bytes(bytes([10, 0, 0, 9])) in used.promised


def test_nothing_is_kept_of_what_is_gone(view: View) -> None:
    gone: dict[str, State | None] = {
        exec_stream(SHIP, RUN): Exec(
            id=RUN, container=SHIP, spec=EXEC.spec, phase=ExecPhase.ENDED, exit_code=0
        ),
        container_stream(SHIP): container(SHIP, "ship", Phase.REMOVED),
        network_stream(NET): None,
    }

    for stream, state in gone.items():
        view.put(stream, 9, state)

    assert dict(collections(view)) == {}


def test_a_copy_is_independent_of_its_original(view: View) -> None:
    copy = view.copy()

    view.put(container_stream(SHIP), 4, None)

    assert copy.container("ship").id == SHIP
    assert copy.versions[container_stream(SHIP)] == 3
