"""Make a view of the stored states, past rows that can't be read, and compare two views."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from engine.domain.exec.state import Exec
from engine.domain.image.state import Image
from engine.domain.streams import container_stream, network_stream
from engine.store.projections import View
from engine.store.records import Aggregate
from engine.store.states import State, decode_state, kind_of, unreadable

Recover = Callable[[str], tuple[int, State | None]]
"""Returns the last version of a stream, and the state that its readable events lead to."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The live state, as the table of aggregates describes it."""

    view: View
    unreadable: Mapping[str, str]
    """By stream: why its row can't be read. The view has a dead container in place of a container,
    and nothing in place of anything else."""
    stale: tuple[str, ...]
    """Streams that have a row and are not live: images that were removed by an earlier version."""


def restored(rows: Iterable[Aggregate], recover: Recover | None = None) -> Restored:
    """Decode the table of aggregates; no row makes it fail.

    Args:
        rows: of the table.
        recover: looks a stream up in the log when its row can't be read.
    """
    view, problems, images = View(), dict[str, str](), []
    for row in rows:
        try:
            state = decode_state(row)
            View().put(row.stream, row.version, state)  # its addresses may be nonsense
        except Exception as error:  # the row may hold anything
            reason = f"the stored state of {row.stream} can't be read ({error or error!r})"
            problems[row.stream] = reason
            continue
        if isinstance(state, Image):
            images.append((row, state))
        else:
            view.put(row.stream, row.version, state)
    for stream, reason in problems.items():
        version, last = recover(stream) if recover else (0, None)
        kept = unreadable(stream, last, reason) if kind_of(stream) == "container" else last
        view.put(stream, version, kept)
    # Images come last: whether a removed one is live depends on the containers.
    stale = [row.stream for row, state in images if view.put(row.stream, row.version, state)]
    if recover:
        problems |= _give_up_without_networks(view)
    return Restored(view, problems, tuple(stale))


def _give_up_without_networks(view: View) -> dict[str, str]:
    """Replace containers in networks that can't be read by dead ones.

    What their links should be like is unknown. Returns the reasons by stream.
    """
    problems: dict[str, str] = {}
    for container in tuple(view.containers.values()):
        if not container.holds_endpoints:
            continue
        lost = {each.network for each in container.endpoints} - view.networks.keys()
        if lost:
            stream = container_stream(container.id)
            names = ", ".join(map(network_stream, sorted(lost)))
            problems[stream] = f"{stream} is in {names}, which can't be read"
            left = tuple(each for each in container.endpoints if each.network not in lost)
            dead = unreadable(stream, replace(container, endpoints=left), problems[stream])
            view.put(stream, view.versions[stream], dead)
    return problems


def differences(stored: View, computed: View, *, apart: Container[str] = ()) -> tuple[str, ...]:
    """Return a sentence for each stream in which two views differ.

    Args:
        stored: made of the table of aggregates.
        computed: made of all events.
        apart: streams that can't be compared, for a reason that is known already.
    """
    ours, theirs = dict(stored.states()), dict(computed.states())
    return tuple(
        f"{stream}: the stored state is not what its events say"
        for stream in sorted(ours.keys() | theirs.keys())
        if stream not in apart and _comparable(ours.get(stream)) != _comparable(theirs.get(stream))
    )


def _comparable(state: State | None) -> State | None:
    """Leave out when an exec was created, which rows of earlier versions don't have."""
    return replace(state, created_ns=0) if isinstance(state, Exec) else state
