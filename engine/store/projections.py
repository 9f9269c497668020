"""What the log says, in memory: every live aggregate, and the indexes that decisions need.

There are two views. *Head* is where decisions are made: it includes what has been submitted and is not yet durable, so that two
requests at once can't both take a name or an address. *Durable* is what everybody else sees and acts on: nothing is done to the
kernel, and nothing is told to a client, on the word of an event that a power cut could still take back.

Both are folds over events and nothing more; ``replay.py`` makes one from the whole history, which is how ``verify`` knows that
the rest is true.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Container as Container_
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from engine.domain import host
from engine.domain.container import state as container
from engine.domain.container.links import links_of
from engine.domain.container.phases import NAMELESS, Phase
from engine.domain.container.spec import PortBinding
from engine.domain.container.state import Container
from engine.domain.event import Event
from engine.domain.exec import state as execution
from engine.domain.exec.state import Exec, ExecPhase
from engine.domain.host import Host
from engine.domain.ids import ContainerId, ExecId, ImageId, NetworkId
from engine.domain.image import state as image
from engine.domain.image.state import Image
from engine.domain.network import state as network
from engine.domain.network.addresses import Used
from engine.domain.network.state import Network
from engine.domain.streams import HOST
from engine.errors import Conflict, InvalidRequest, NotFound
from engine.store.records import Aggregate, Recorded

State = Host | Container | Exec | Network | Image
Recover = Callable[[str], tuple[int, State | None]]
"""Gives the last version of a stream, and what its readable events come to."""

_Fold = Callable[[Any, Event, int], State]  # Any: each fold takes the state of its own kind
_KINDS: Final[Mapping[str, tuple[type[State], _Fold]]] = {
    "host": (Host, host.evolve),
    "container": (Container, container.evolve),
    "exec": (Exec, execution.evolve),
    "network": (Network, network.evolve),
    "image": (Image, image.evolve),
}


class NoSuchContainer(NotFound):
    """No container has that name, ID or beginning of an ID."""


class NoSuchExec(NotFound):
    """No exec has that ID."""


class NameInUse(Conflict):
    """Another container has that name."""


def kind_of(stream: str) -> str:
    """Which kind of aggregate a stream is about: ``container``, ``exec``, ``network``, ``image`` or ``host``."""
    parts = stream.split("/")
    return parts[2] if len(parts) == 4 else parts[0]


def is_gone(state: State) -> bool:
    """Whether an aggregate leaves the read model: only its history is left."""
    match state:
        case Container(phase=phase):
            return phase is Phase.REMOVED
        case Exec(phase=exec_phase):
            return exec_phase is ExecPhase.ENDED
        case Network(is_gone=gone):
            return gone
        case Host() | Image():  # an image may come back: its stream goes on
            return False


class View:
    """All aggregates as of one moment."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}
        self._states: dict[str, State] = {}
        self.containers: dict[ContainerId, Container] = {}
        self.execs: dict[ExecId, Exec] = {}
        self.networks: dict[NetworkId, Network] = {}
        self.images: dict[ImageId, Image] = {}
        self.execs_of: dict[ContainerId, dict[ExecId, Exec]] = {}
        self.addresses: dict[tuple[NetworkId, int], dict[int, ContainerId]] = {}
        """By network and IP version: whose an address is, of containers that run or are about to."""
        self.promised: dict[tuple[str, int], Counter[int]] = {}
        """By network's name and IP version: addresses that containers ask for by number, running or not."""
        self.host_ports: dict[tuple[str, int], dict[str, ContainerId]] = {}
        """By protocol and port: who has it at which address of the host (empty: all of them)."""
        self.linked_to: dict[ContainerId, set[ContainerId]] = {}
        """By target of links: whose they are."""
        self._names: dict[str, ContainerId] = {}
        self._networks_named: dict[str, Network] = {}

    @property
    def host(self) -> Host:
        """The machine; there is one from the first event on."""
        found = self._states[HOST]
        assert isinstance(found, Host)
        return found

    @property
    def is_new(self) -> bool:
        """Whether nothing has ever happened here."""
        return HOST not in self._states

    def states(self) -> Iterator[tuple[str, State]]:
        """Every live aggregate with its stream."""
        return iter(self._states.items())

    def get(self, stream: str) -> State | None:
        """One aggregate."""
        return self._states.get(stream)

    def next(self, stream: str, events: Iterable[Event], at_ns: int) -> State:
        """What an aggregate would be after some more events; nothing is changed."""
        fold = _KINDS[kind_of(stream)][1]
        state: State | None = self._states.get(stream)
        for event in events:
            state = fold(state, event, at_ns)
        assert state is not None
        return state

    def put(self, stream: str, version: int, state: State | None) -> None:
        """Replace an aggregate; None, and one that is gone, leaves the view with its version: nothing will follow."""
        before = self._states.get(stream)
        if before is not None:
            self._forget(before)
        if state is None or is_gone(state):
            self._states.pop(stream, None)
            self.versions.pop(stream, None)
        else:
            self._states[stream] = state
            self._remember(state)
            self.versions[stream] = version

    def copy(self) -> "View":
        """Another view of the same states, which goes its own way from here."""
        copied = View()
        for stream, state in self._states.items():
            copied.put(stream, self.versions[stream], state)
        return copied

    def apply(self, recorded: Recorded) -> None:
        """Follow the log by one event."""
        state = self.next(recorded.stream, (recorded.event,), recorded.at_ns)
        self.put(recorded.stream, recorded.version, state)

    def container(self, reference: str) -> Container:
        """The container of that name (with or without the slash), ID, or unique beginning of an ID.

        Raises:
            NoSuchContainer: there is none.
            InvalidRequest: several IDs begin like that.
        """
        if found := self.containers.get(ContainerId(reference)):
            return found
        if named := self._names.get(reference.removeprefix("/")):
            return self.containers[named]
        matching = [
            identity for identity in self.containers if reference and identity.startswith(reference)
        ]
        if len(matching) > 1:
            raise InvalidRequest(f"Multiple IDs found with provided prefix: {reference}")
        if not matching:
            raise NoSuchContainer(f"No such container: {reference}")
        return self.containers[matching[0]]

    def execution(self, execution: str) -> Exec:
        """A live exec by its ID.

        Raises:
            NoSuchExec: there is none, or it has ended.
        """
        if found := self.execs.get(ExecId(execution)):
            return found
        raise NoSuchExec(f"No such exec instance: {execution}")

    def network(self, reference: str) -> Network:
        """The network of that name, ID, or unique beginning of an ID; one that is about to go has neither.

        Raises:
            NotFound: there is none.
            InvalidRequest: several IDs begin like that.
        """
        if found := self._networks_named.get(reference):
            return found
        matching = [
            each
            for each in self.networks.values()
            if reference and each.id.startswith(reference) and not each.is_going
        ]
        if len(matching) > 1:
            raise InvalidRequest(
                f"network {reference} is ambiguous ({len(matching)} matches found based on ID prefix)"
            )
        if not matching:
            raise NotFound(f"network {reference} not found")
        return matching[0]

    def is_used(self, network: NetworkId) -> bool:
        """Whether containers that run, or are about to, have addresses of a network."""
        return any(self.addresses.get((network, version)) for version in (4, 6))

    def members(self, network: NetworkId) -> tuple[Container, ...]:
        """Containers that have addresses of a network."""
        holders = {
            holder: None
            for version in (4, 6)
            for holder in self.addresses.get((network, version), {}).values()
        }
        return tuple(self.containers[holder] for holder in holders)

    def networks_with_links(self) -> tuple[Network, ...]:
        """Those that need something of the host's, the default one first: a daemon makes it before any other."""
        return tuple(each for each in self.networks.values() if each.bridge and not each.is_going)

    def publishers(self) -> tuple[Container, ...]:
        """Containers that have ports of the host."""
        holders = {holder for held in self.host_ports.values() for holder in held.values()}
        return tuple(self.containers[holder] for holder in holders)

    def used_addresses(self, network: Network, version: int) -> Used:
        """Which addresses of a network a container can't be given."""
        return Used(
            self.addresses.get((network.id, version), {}),
            self.promised.get((network.name, version), {}),
        )

    def check_name_free(self, name: str) -> None:
        """Refuse a name that another container has.

        Raises:
            NameInUse: with Docker's words.
        """
        if holder := self._names.get(name):
            raise NameInUse(
                f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )

    def port_holder(self, binding: PortBinding) -> ContainerId | None:
        """The container that has this port of the host, at this address or at all of them."""
        holders = self.host_ports.get((binding.protocol, binding.host_port), {})
        if binding.host_ip in ("", "0.0.0.0"):  # noqa: S104  (compared, not bound)
            return next(iter(holders.values()), None)
        return holders.get(binding.host_ip) or holders.get("")

    def _remember(self, state: State) -> None:
        match state:
            case Container():
                self.containers[state.id] = state
                if state.phase not in NAMELESS:
                    self._names[state.name] = state.id
                elif state.is_unreadable:  # who wants it removed knows it by its name
                    self._names.setdefault(state.name, state.id)
                self._promise(state, 1)
                self._remember_endpoints(state)
                for link in links_of(state.spec):
                    self.linked_to.setdefault(link.target, set()).add(state.id)
            case Exec():
                self.execs[state.id] = state
                self.execs_of.setdefault(state.container, {})[state.id] = state
            case Network():
                self.networks[state.id] = state
                if not state.is_going:
                    self._networks_named[state.name] = state
            case Image():
                self.images[state.id] = state
            case Host():
                pass

    def _forget(self, state: State) -> None:
        match state:
            case Container():
                del self.containers[state.id]
                if self._names.get(state.name) == state.id:
                    del self._names[state.name]
                self._promise(state, -1)
                self._forget_endpoints(state)
                self._forget_links(state)
            case Exec():
                del self.execs[state.id]
                siblings = self.execs_of[state.container]
                del siblings[state.id]
                if not siblings:
                    del self.execs_of[state.container]
            case Network():
                del self.networks[state.id]
                named = self._networks_named.get(state.name)
                if named is not None and named.id == state.id:
                    del self._networks_named[state.name]
            case Image():
                del self.images[state.id]
            case Host():
                pass

    def _promise(self, state: Container, count: int) -> None:
        for membership in state.networks:
            for wanted in filter(None, (membership.ipv4, membership.ipv6)):
                address = ip_address(wanted)
                key = (membership.name, address.version)
                promised = self.promised.setdefault(key, Counter())
                promised[int(address)] += count
                if not promised[int(address)]:
                    del promised[int(address)]

    def _remember_endpoints(self, state: Container) -> None:
        if not state.holds_endpoints:
            return
        for key, number in _addresses(state):
            self.addresses.setdefault(key, {})[number] = state.id
        for port in state.ports:
            holders = self.host_ports.setdefault((port.protocol, port.host_port), {})
            holders[_normal_host_ip(port)] = state.id

    def _forget_endpoints(self, state: Container) -> None:
        for where, number in _addresses(state):
            held = self.addresses.get(where, {})
            if held.get(number) == state.id:
                del held[number]
                if not held:
                    del self.addresses[where]
        for port in state.ports:
            key = (port.protocol, port.host_port)
            holders = self.host_ports.get(key, {})
            if holders.get(_normal_host_ip(port)) == state.id:
                del holders[_normal_host_ip(port)]
                if not holders:
                    del self.host_ports[key]

    def _forget_links(self, state: Container) -> None:
        for link in links_of(state.spec):
            linked = self.linked_to.get(link.target, set())
            linked.discard(state.id)
            if not linked:
                self.linked_to.pop(link.target, None)


def _normal_host_ip(port: PortBinding) -> str:
    return "" if port.host_ip == "0.0.0.0" else port.host_ip  # noqa: S104  (compared, not bound)


def _addresses(state: Container) -> Iterator[tuple[tuple[NetworkId, int], int]]:
    for endpoint in state.endpoints:
        for text in endpoint.addresses:
            address = ip_address(text)
            yield (endpoint.network, address.version), int(address)


def snapshot(state: State) -> bytes:
    """An aggregate as the read model keeps it."""
    return msgspec.json.encode(state)


def unreadable(stream: str, last: State | None, reason: str) -> State | None:
    """What stands for an aggregate that can't be read: a dead container; nothing for anything else."""
    if kind_of(stream) != "container":
        return None
    known = last if isinstance(last, Container) else None
    identity = ContainerId(stream.partition("/")[2])
    return container.unreadable_container(identity, known, reason)


@dataclass(frozen=True, slots=True)
class Restored:
    """What the read model in the database describes."""

    view: View
    unreadable: Mapping[str, str]
    """By stream: why its row can't be read. Its container is dead in the view; anything else is not there."""


def restored(aggregates: Iterable[Aggregate], recover: Recover | None = None) -> Restored:
    """Decode the read model, past rows that can't be read.

    Args:
        aggregates: its rows.
        recover: what the history has of a stream whose row can't be read.
    """
    view, problems = View(), dict[str, str]()
    for aggregate in aggregates:
        stream = aggregate.stream
        try:
            view.put(stream, aggregate.version, _decoded(aggregate))
        except Exception as error:  # whatever somebody wrote there
            problems[stream] = f"the stored state of {stream} can't be read ({error or error!r})"
    for stream, reason in problems.items():
        version, last = recover(stream) if recover else (0, None)
        kept = unreadable(stream, last, reason) if kind_of(stream) == "container" else last
        view.put(stream, version, kept)
    return Restored(view, problems)


def _decoded(aggregate: Aggregate) -> State:
    kind = _KINDS[kind_of(aggregate.stream)][0]
    return msgspec.json.decode(aggregate.snapshot, type=kind)


def differences(kept: View, computed: View, *, apart: Container_[str] = ()) -> tuple[str, ...]:
    """The streams in which two views disagree, in words: empty is what ``verify`` hopes for.

    Args:
        kept: one view.
        computed: the other.
        apart: streams of which it is known already that they can't be compared.
    """
    kept_states, computed_states = dict(kept.states()), dict(computed.states())
    return tuple(
        f"{stream}: the read model is not what its events say"
        for stream in sorted(kept_states.keys() | computed_states.keys())
        if stream not in apart
        and _comparable(kept_states.get(stream)) != _comparable(computed_states.get(stream))
    )


def _comparable(state: State | None) -> State | None:
    """Without what stored states of old do not have: when an exec was created."""
    return replace(state, created_ns=0) if isinstance(state, Exec) else state
