"""Keep the present state of every live aggregate, with indexes.

There are two views. *Head* is where decisions are made: it includes what has been submitted and is
not yet durable, so that two requests at once can't both take a name or an address. *Durable* is
what everybody else sees and acts on: nothing is done to the kernel, and nothing is sent to a
client, because of an event that a power cut could still take back.

Both are computed from events alone; ``replay.py`` computes one from the whole history, which is how
``verify`` knows that the stored states are true.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from engine.domain.container.spec import PortBinding
from engine.domain.container.state import Container
from engine.domain.event import Event
from engine.domain.exec.state import Exec
from engine.domain.host import Host
from engine.domain.ids import ContainerId, ExecId, ImageId, NetworkId
from engine.domain.image.state import Image
from engine.domain.network.addresses import Used
from engine.domain.network.state import Network
from engine.domain.streams import HOST, image_stream
from engine.store.address_index import AddressIndex
from engine.store.container_index import ContainerIndex
from engine.store.exec_index import ExecIndex
from engine.store.image_index import ImageIndex, ImageUsers
from engine.store.network_index import NetworkIndex
from engine.store.port_index import PortIndex
from engine.store.records import Recorded
from engine.store.states import State, evolved, is_gone


class _Index(Protocol):
    def add(self, state: Any, /) -> None: ...  # Any: each index takes states of its own kind

    def remove(self, state: Any, /) -> None: ...


class View:
    """The state of all aggregates as of one moment."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}
        self._states: dict[str, State] = {}
        self._containers, self._execs = ContainerIndex(), ExecIndex()
        self._networks = NetworkIndex()
        self._images, self._image_users = ImageIndex(), ImageUsers()
        self._addresses, self._ports = AddressIndex(), PortIndex()
        self._indexes: Final[Mapping[type[State], tuple[_Index, ...]]] = {
            Host: (),
            Container: (self._containers, self._addresses, self._ports, self._image_users),
            Exec: (self._execs,),
            Network: (self._networks,),
            Image: (self._images,),
        }
        self.containers: Mapping[ContainerId, Container] = self._containers.by_id
        self.execs: Mapping[ExecId, Exec] = self._execs.by_id
        self.networks: Mapping[NetworkId, Network] = self._networks.by_id
        self.images: Mapping[ImageId, Image] = self._images.by_id
        self.execs_of: Mapping[ContainerId, Mapping[ExecId, Exec]] = self._execs.by_container
        self.linked_to: Mapping[ContainerId, set[ContainerId]] = self._containers.linked_to

    # --- states ---

    @property
    def host(self) -> Host:
        """Return the machine's state; it exists from the first event on."""
        found = self._states[HOST]
        assert isinstance(found, Host)
        return found

    @property
    def is_new(self) -> bool:
        """Return whether the log has no event yet."""
        return HOST not in self._states

    def states(self) -> Iterator[tuple[str, State]]:
        """Return every live aggregate with its stream."""
        return iter(self._states.items())

    def get(self, stream: str) -> State | None:
        """Return the state of one stream; None when its aggregate is not live."""
        return self._states.get(stream)

    def next(self, stream: str, events: Iterable[Event], at_ns: int) -> State:
        """Return what an aggregate would be after some more events; the view stays as it is."""
        return evolved(stream, self._states.get(stream), events, at_ns)

    def put(self, stream: str, version: int, state: State | None) -> dict[str, int]:
        """Replace an aggregate; one that is None or has ended leaves the view.

        A removed image leaves together with the last container that was made from it: until then
        the container's inspection and size need what the image held.

        Returns:
            The streams that have left the view, and the last version of each.
        """
        before = self._states.get(stream)
        if before is not None:
            self._remove_from_indexes(before)
        if state is None or self._leaves(state):
            self._forget(stream)
            left = {stream: version}
        else:
            self._insert(stream, version, state)
            left = {}
        return left | self._drop_unused_image(before)

    def _leaves(self, state: State) -> bool:
        is_used = isinstance(state, Image) and self._image_users.of(state.id)
        return is_gone(state) and not is_used

    def _drop_unused_image(self, container: State | None) -> dict[str, int]:
        """Drop the image of a container that has left, if the image has been removed."""
        if not isinstance(container, Container):
            return {}
        image = self.images.get(container.spec.image_id)
        if image is None or not self._leaves(image):
            return {}
        stream = image_stream(image.id)
        self._remove_from_indexes(image)
        return {stream: self._forget(stream)}

    def _insert(self, stream: str, version: int, state: State) -> None:
        self._states[stream], self.versions[stream] = state, version
        for index in self._indexes[type(state)]:
            index.add(state)

    def _remove_from_indexes(self, state: State) -> None:
        for index in self._indexes[type(state)]:
            index.remove(state)

    def _forget(self, stream: str) -> int:
        self._states.pop(stream, None)
        return self.versions.pop(stream, 0)

    def copy(self) -> "View":
        """Return another view of the same states; changes to one don't show in the other."""
        copied = View()
        for stream, state in self._states.items():
            copied._insert(stream, self.versions[stream], state)
        return copied

    def apply(self, recorded: Recorded) -> None:
        """Apply one more event of the log."""
        state = self.next(recorded.stream, (recorded.event,), recorded.at_ns)
        self.put(recorded.stream, recorded.version, state)

    # --- containers and execs ---

    def container(self, reference: str) -> Container:
        """Return the container with this ID, name, or unique beginning of an ID.

        Raises:
            NoSuchContainer: there is none.
            InvalidRequest: several IDs begin like that.
        """
        return self._containers.find(reference)

    def check_name_free(self, name: str) -> None:
        """Refuse a name that another container has.

        Raises:
            NameInUse: with Docker's words.
        """
        self._containers.check_name_free(name)

    def execution(self, execution: str) -> Exec:
        """Return the live exec with this ID.

        Raises:
            NoSuchExec: there is none, or it has ended.
        """
        return self._execs.find(execution)

    # --- networks, addresses and ports ---

    def network(self, reference: str) -> Network:
        """Return the network with this name, ID, or unique beginning of an ID.

        Raises:
            NotFound: there is none, or it is being removed.
            InvalidRequest: several IDs begin like that.
        """
        return self._networks.find(reference)

    def networks_with_links(self) -> tuple[Network, ...]:
        """Return the networks that need a link on the host, the default network first.

        The default network was the first to be created.
        """
        return tuple(each for each in self.networks.values() if each.bridge and not each.is_going)

    def is_used(self, network: NetworkId) -> bool:
        """Return whether containers that run, or are about to, have addresses of a network."""
        return self._addresses.is_used(network)

    def members(self, network: NetworkId) -> tuple[Container, ...]:
        """Return the containers that have addresses of a network."""
        return tuple(self.containers[holder] for holder in self._addresses.holders(network))

    def used_addresses(self, network: Network, version: int) -> Used:
        """Return the addresses of a network that a container can't be given."""
        return self._addresses.used(network, version)

    def publishers(self) -> tuple[Container, ...]:
        """Return the containers that have ports of the host."""
        return tuple(self.containers[holder] for holder in self._ports.holders())

    def port_holder(self, binding: PortBinding) -> ContainerId | None:
        """Return the container that has a port of the host, at the same address or at all."""
        return self._ports.holder(binding)
