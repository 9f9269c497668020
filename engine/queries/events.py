"""Look up what an event does not say about its container: name, labels, networks, execs.

A reader that begins in the middle of the history needs what a reader from the beginning would
remember, so that is read from the log. This is not
:func:`~engine.domain.container.evolution.evolve`: it reads a few types of events by the log's
index, not all of a stream, and goes on where an event can't be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from signal import Signals
from typing import Final, TypeAlias

from engine.domain.container.attachment import (
    Connected,
    ConnectFailed,
    ConnectRequested,
    Disconnected,
    DisconnectRequested,
)
from engine.domain.container.events import (
    Created,
    Exited,
    RemoveRequested,
    Renamed,
    Signalled,
    Started,
    StartFailed,
    StartRequested,
    StopRequested,
)
from engine.domain.event import Event
from engine.domain.exec.state import ExecCreated, ExecExited, ExecSpec, ExecStartFailed
from engine.domain.ids import ContainerId, ExecId, NetworkId
from engine.domain.image.state import ImageCommitted, ImageImported, ImageLoaded
from engine.queries.history import Entry
from engine.queries.threads import ask
from engine.store.ledger import Ledger
from engine.store.read import Reader

_REMEMBERED: Final = tuple(
    event.TYPE
    for event in (
        *(Created, Renamed, StartRequested, Started, StartFailed),
        *(StopRequested, Signalled, Exited, RemoveRequested),
        *(ConnectRequested, ConnectFailed, DisconnectRequested, Connected, Disconnected),
    )
)
"""The types of events that :meth:`Subject.follow` needs."""

Arrival: TypeAlias = ImageImported | ImageLoaded | ImageCommitted
"""The events that say what an image holds."""
_ARRIVALS: Final = (ImageImported.TYPE, ImageLoaded.TYPE, ImageCommitted.TYPE)


@dataclass(slots=True)
class Subject:
    """What is known of a container just before an event."""

    id: ContainerId
    name: str
    image: str
    labels: Mapping[str, str]
    mode: str = ""
    """The network mode of its spec."""
    networks: dict[NetworkId, str] = field(default_factory=dict)
    """Names of the networks that it is in, by ID."""
    moving: dict[int, tuple[NetworkId, str]] = field(default_factory=dict)
    """Networks that it is being connected to or disconnected from, by order."""
    running: bool = False
    stopping: bool = False
    restarting: bool = False
    """A restart was asked for, and its second half is still to come."""
    killed: bool = False
    """SIGKILL has been sent to this run."""
    started_ns: int = 0
    commands: dict[ExecId, str] = field(default_factory=dict)
    """Commands of its live execs."""

    @classmethod
    def of(cls, created: Created) -> "Subject":
        """Return what the first event of a container says."""
        spec = created.spec
        return cls(created.id, created.name, spec.image, spec.labels, spec.network_mode)

    def ran_ns(self, at_ns: int) -> int:
        """Return how long the current run has lasted by the wall clock."""
        return max(0, at_ns - self.started_ns) if self.started_ns else 0

    def follow(self, event: Event, at_ns: int) -> None:
        """Apply one more event of the container."""
        match event:
            case Renamed(name=name):
                self.name = name
            case StartRequested(restart=restart, endpoints=endpoints):
                self.restarting = self.restarting or restart
                self.networks = {each.network: each.name for each in endpoints}
            case ConnectRequested(order=order, membership=to):
                self.moving[order] = (NetworkId(to.network), to.name)
            case DisconnectRequested(order=order, network=network, name=name):
                self.moving[order] = (network, name)
            case Connected(order=order) if order in self.moving:
                network, name = self.moving.pop(order)
                self.networks[network] = name
            case Disconnected(order=order) if order in self.moving:
                self.networks.pop(self.moving.pop(order)[0], None)
            case ConnectFailed(order=order):
                self.moving.pop(order, None)
            case StopRequested(then_start=then_start):
                self.stopping, self.restarting = True, then_start
            case Started():
                self.running, self.stopping, self.restarting = True, False, False
                self.killed, self.started_ns = False, at_ns
            case Signalled(signal=Signals.SIGKILL):
                self.killed = True
            case StartFailed():
                self.stopping = self.restarting = False
            case Exited():
                self.running = self.stopping = False
            case _:
                pass

    def follow_exec(self, execution: ExecId, event: Event) -> None:
        """Apply one more event of one of the container's execs."""
        match event:
            case ExecCreated(spec=spec):
                self.commands[execution] = command_text(spec)
            case ExecExited() | ExecStartFailed():
                self.commands.pop(execution, None)
            case _:
                pass


class Events:
    """Looks up the containers and images that events are about."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def last_seq(self) -> int:
        """Return the position of the log's last event."""
        return self._ledger.log.last_seq

    async def subject_before(self, entry: Entry) -> Subject:
        """Return what was known of a container just before an event. Events that can't be read are
        passed over.
        """
        return await ask(partial(_recollect, self._ledger.log, entry))

    async def image_labels(self, entry: Entry) -> Mapping[str, str]:
        """Return the labels of the image that an event is about; the image may have been removed
        since.
        """
        return await ask(partial(_past_labels, self._ledger.log, entry))


def command_text(spec: ExecSpec) -> str:
    """Return the command of an exec as Docker's events spell it: with a blank behind a command that
    has no arguments.
    """
    command, *arguments = spec.arguments
    return f"{command} {' '.join(arguments)}"


def owner_of(entry: Entry) -> str:
    """Return the stream of the object that an event belongs to; for an exec, its container's."""
    return "/".join(entry.stream.split("/")[:2])


def exec_of(entry: Entry) -> ExecId | None:
    """Return the exec that an event is about, or None."""
    _, exec_below, identity = entry.stream.partition("/exec/")
    return ExecId(identity) if exec_below else None


def _recollect(log: Reader, entry: Entry) -> Subject:
    """Read what was known of an event's container and exec just before the event. Blocks."""
    owner, before = owner_of(entry), entry.seq - 1
    subject = Subject(ContainerId(entry.id), name=entry.name, image="", labels={})
    for recorded in log.read(
        stream=owner, types=_REMEMBERED, until_seq=before, keep_unreadable=True
    ):
        if isinstance(recorded.event, Created):
            subject = Subject.of(recorded.event)
        else:
            subject.follow(recorded.event, recorded.at_ns)
    if execution := exec_of(entry):
        for recorded in log.read(stream=entry.stream, until_seq=before, keep_unreadable=True):
            subject.follow_exec(execution, recorded.event)
    return subject


def _past_labels(log: Reader, entry: Entry) -> Mapping[str, str]:
    """Read the labels of an image from the event that brought it in.

    The same image has the same labels whenever it comes in, so the first event will do.
    """
    for recorded in log.read(
        stream=entry.stream, types=_ARRIVALS, until_seq=entry.seq, keep_unreadable=True
    ):
        if isinstance(recorded.event, Arrival):
            return recorded.event.contents.config.labels
    return {}
