"""Define how the state of each kind of aggregate is computed, stored and read.

A stream's name contains its kind: ``container/ID`` is a container, ``container/ID/exec/ID`` an
exec.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from engine.domain import host
from engine.domain.container import evolution as container
from engine.domain.container.phases import Phase
from engine.domain.container.state import Container, unreadable_container
from engine.domain.event import Event
from engine.domain.exec import state as execution
from engine.domain.exec.state import Exec, ExecPhase
from engine.domain.host import Host
from engine.domain.ids import ContainerId
from engine.domain.image import state as image
from engine.domain.image.state import Image
from engine.domain.network import state as network
from engine.domain.network.state import Network
from engine.domain.streams import (
    HOST,
    container_stream,
    exec_stream,
    image_stream,
    network_stream,
)
from engine.store.records import Aggregate

State = Host | Container | Exec | Network | Image

_Evolve = Callable[[Any, Event, int], State]  # Any: each takes the state of its own kind
_KINDS: Final[Mapping[str, tuple[type[State], _Evolve]]] = {
    "host": (Host, host.evolve),
    "container": (Container, container.evolve),
    "exec": (Exec, execution.evolve),
    "network": (Network, network.evolve),
    "image": (Image, image.evolve),
}


def kind_of(stream: str) -> str:
    """Return ``container``, ``exec``, ``network``, ``image`` or ``host``."""
    parts = stream.split("/")
    return parts[2] if len(parts) == 4 else parts[0]


def evolved(stream: str, state: State | None, events: Iterable[Event], at_ns: int) -> State:
    """Return the state of a stream after some more events, at least one.

    Raises:
        KeyError, AssertionError: the events can't follow this state.
    """
    evolve = _KINDS[kind_of(stream)][1]
    for event in events:
        state = evolve(state, event, at_ns)
    assert state is not None
    return state


def is_gone(state: State) -> bool:
    """Return whether an aggregate has ended, so that only its history is left."""
    match state:
        case Container(phase=phase):
            return phase is Phase.REMOVED
        case Exec(phase=exec_phase):
            return exec_phase is ExecPhase.ENDED
        case Network(is_gone=gone):
            return gone
        case Image(removed=removed):
            return removed
        case Host():
            return False


def may_return(stream: str) -> bool:
    """Return whether a stream may go on after its aggregate has left the live state.

    An image's ID is its content, so the same image can be removed and come in again.
    """
    return kind_of(stream) == "image"


def encode_state(state: State) -> bytes:
    """Return a state as the table of aggregates stores it."""
    return msgspec.json.encode(state)


def decode_state(row: Aggregate) -> State:
    """Return the state that a row of the table of aggregates stores.

    Raises:
        Exception: of any kind; the row may hold anything.
    """
    state = msgspec.json.decode(row.snapshot, type=_KINDS[kind_of(row.stream)][0])
    if (stream := _stream_of(state)) != row.stream:
        raise ValueError(f"it is a state of {stream}")
    return state


def _stream_of(state: State) -> str:
    match state:
        case Host():
            return HOST
        case Container(id=container_id):
            return container_stream(container_id)
        case Exec(container=container_id, id=exec_id):
            return exec_stream(container_id, exec_id)
        case Network(id=network_id):
            return network_stream(network_id)
        case Image():
            return image_stream(state.id)


def unreadable(stream: str, last: State | None, reason: str) -> State | None:
    """Return a dead container in place of one that can't be read, and None for any other kind.

    Args:
        stream: of the aggregate.
        last: its last state that could be read.
        reason: why the rest can't be.
    """
    if kind_of(stream) != "container":
        return None
    known = last if isinstance(last, Container) else None
    identity = ContainerId(stream.partition("/")[2])
    return unreadable_container(identity, known, reason)
