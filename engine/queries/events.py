"""Remember of each container what a reader of events must know beside the event: its name, labels,
networks, execs.

A reader that begins in the middle of history asks the log for what a reader from the beginning
would remember. This is not :func:`~engine.domain.container.evolution.evolve`: it reads a few types of
events by the log's index, not all of a stream, and goes on where an event can't be read.
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
"""What :meth:`Subject.follow` learns from."""

Arrival: TypeAlias = ImageImported | ImageLoaded | ImageCommitted
"""The events that say what an image holds."""
_ARRIVALS: Final = (ImageImported.TYPE, ImageLoaded.TYPE, ImageCommitted.TYPE)


@dataclass(slots=True)
class Subject:
    """A container as it was just before the event that is told."""

    id: ContainerId
    name: str
    image: str
    labels: Mapping[str, str]
    mode: str = ""
    """Where its network comes from."""
    networks: dict[NetworkId, str] = field(default_factory=dict)
    """Names of those that it is in, by ID."""
    moving: dict[int, tuple[NetworkId, str]] = field(default_factory=dict)
    """Networks that it is about to be in, or no more, by order."""
    running: bool = False
    stopping: bool = False
    restarting: bool = False
    """A restart was asked for, and its second half is still to come."""
    killed: bool = False
    """SIGKILL has been sent to this run."""
    started_ns: int = 0
    commands: dict[ExecId, str] = field(default_factory=dict)
    """What its execs that have not ended execute."""

    @classmethod
    def of(cls, created: Created) -> "Subject":
        """A container whose first event this is."""
        spec = created.spec
        return cls(created.id, created.name, spec.image, spec.labels, spec.network_mode)

    def ran_ns(self, at_ns: int) -> int:
        """How long the run has lasted, as far as the wall clock can say."""
        return max(0, at_ns - self.started_ns) if self.started_ns else 0

    def follow(self, event: Event, at_ns: int) -> None:
        """The container after one more event of its own."""
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
        """The container after one more event of one of its execs."""
        match event:
            case ExecCreated(spec=spec):
                self.commands[execution] = command_text(spec)
            case ExecExited() | ExecStartFailed():
                self.commands.pop(execution, None)
            case _:
                pass


class Events:
    """Says what events of the log are about, for those who tell them in other words."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def last_seq(self) -> int:
        """The position of the log's last event."""
        return self._ledger.log.last_seq

    async def subject_before(self, entry: Entry) -> Subject:
        """Return what an event is about, as it was just before; of events that can't be read
        nothing is known.
        """
        return await ask(partial(_recollect, self._ledger.log, entry))

    async def image_labels(self, entry: Entry) -> Mapping[str, str]:
        """Return the labels of the image that an event is about, which may be gone by now."""
        return await ask(partial(_past_labels, self._ledger.log, entry))


def command_text(spec: ExecSpec) -> str:
    """What an exec executes as Docker writes it there: the blank stands behind a command without
    arguments, too.
    """
    command, *arguments = spec.arguments
    return f"{command} {' '.join(arguments)}"


def owner_of(entry: Entry) -> str:
    """The stream of the thing itself, for an exec that of its container."""
    return "/".join(entry.stream.split("/")[:2])


def exec_of(entry: Entry) -> ExecId | None:
    """The exec that an event is about, if it is about one."""
    _, exec_below, identity = entry.stream.partition("/exec/")
    return ExecId(identity) if exec_below else None


def _recollect(log: Reader, entry: Entry) -> Subject:
    """Read what the log has of an event's container and exec before that event. Blocks."""
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
