"""Events of the log in the words of Docker's ``/events``: domain → Docker JSON.

One of ours can be several of theirs (an exit is ``die``, ``disconnect`` and perhaps ``stop``), or none: intents are not told.
What an event of theirs says about its object, they look up when it happens; so does this, in what was told before.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from engine.api.json_bodies import Json
from engine.api.times import SECOND_NS
from engine.domain import container_events as container
from engine.domain import container_update, execution, image, network
from engine.domain.event import Event
from engine.domain.health import HealthChanged
from engine.domain.ids import ContainerId, ExecId, NetworkId
from engine.domain.network import Network
from engine.domain.reference import parse_reference
from engine.service.history import Entry

_SIMPLE: Final[Mapping[type[Event], str]] = {
    container.AttachOpened: "attach",
    container.Paused: "pause",
    container.Unpaused: "unpause",
    container.OutOfMemory: "oom",
    container_update.Updated: "update",
    container.Removed: "destroy",
}
_OF_IMAGES: Final[Mapping[type[Event], str]] = {
    image.ImageImported: "import",
    image.ImageLoaded: "load",
    image.ImageTagged: "tag",
    image.ImageUntagged: "untag",
    image.ImageRemoved: "delete",
}


@dataclass(slots=True)
class Subject:
    """What is remembered of a container to tell its events."""

    id: ContainerId
    name: str
    image: str
    labels: Mapping[str, str]
    network: str = ""
    stopping: bool = False
    restarting: bool = False
    started_ns: int = 0
    execs: dict[ExecId, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """One event as Docker has it."""

    type: str
    action: str
    id: str
    attributes: Mapping[str, str]
    at_ns: int
    seq: int

    def json(self) -> Json:
        """EventMessage; ``seq`` is ours: ask on after it, and nothing is missed or repeated."""
        message: Json = {
            "Type": self.type,
            "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": self.attributes},
            "scope": "local",
            "time": self.at_ns // SECOND_NS,
            "timeNano": self.at_ns,
            "seq": self.seq,
        }
        if self.type in ("container", "image"):
            message |= {"status": self.action, "id": self.id}
        if self.type == "container":
            message["from"] = self.attributes.get("image", "")
        return message


class Translator:
    """Tells the log's events one after the other; it remembers what it has told."""

    def __init__(self, networks: Mapping[NetworkId, Network]) -> None:
        self._networks = networks
        self._subjects: dict[str, Subject] = {}

    def knows(self, entry: Entry) -> bool:
        """Whether a container's event can be told; if not, :meth:`learn` about it first."""
        owner = _owner(entry)
        is_told = not owner.startswith("container/") or isinstance(entry.data, container.Created)
        return is_told or owner in self._subjects

    def learn(self, entry: Entry, subject: Subject) -> None:
        """What there is to know about an event's container, just before the event."""
        self._subjects[_owner(entry)] = subject

    def messages(self, entry: Entry) -> tuple[Message, ...]:
        """One event of the log in Docker's words."""
        if entry.stream.startswith("container/"):
            return tuple(self._of_container(entry, entry.data))
        return tuple(_of_others(entry, entry.data))

    def _of_container(self, entry: Entry, event: Event) -> Iterator[Message]:
        if isinstance(event, container.Created):
            spec = event.spec
            mode = spec.network_mode
            self._subjects[_owner(entry)] = Subject(
                event.id, event.name, spec.image, spec.labels, mode
            )
        subject = self._subjects[_owner(entry)]
        if isinstance(event, execution.EVENTS):
            yield from self._of_exec(entry, event, subject)
            return
        match event:
            case container.Created():
                yield _told(entry, subject, "create")
            case container.Renamed(name=name, before=before):
                subject.name = name
                yield _told(entry, subject, "rename", oldName=f"/{before}")
            case container.StopRequested(then_start=then_start):
                subject.stopping, subject.restarting = True, then_start
            case container.Signalled(signal=signal):
                yield _told(entry, subject, "kill", signal=str(signal))
            case container.AttachClosed(reason="detached"):
                yield _told(entry, subject, "detach")
            case HealthChanged(status=status):
                yield _told(entry, subject, f"health_status: {status}")
            case container.Started():
                yield from self._started(entry, subject)
            case container.Exited(code=code):
                yield from self._exited(entry, subject, code)
            case _:
                if action := _SIMPLE.get(type(event)):
                    yield _told(entry, subject, action)
        if isinstance(event, container.Removed):
            del self._subjects[_owner(entry)]

    def _started(self, entry: Entry, subject: Subject) -> Iterator[Message]:
        yield from self._network(entry, subject, "connect")
        yield _told(entry, subject, "start")
        if subject.restarting:
            yield _told(entry, subject, "restart")
        subject.stopping = subject.restarting = False
        subject.started_ns = entry.at_ns

    def _exited(self, entry: Entry, subject: Subject, code: int) -> Iterator[Message]:
        ran_ns = max(0, entry.at_ns - subject.started_ns) if subject.started_ns else 0
        yield _told(
            entry, subject, "die", execDuration=str(ran_ns // SECOND_NS), exitCode=str(code)
        )
        yield from self._network(entry, subject, "disconnect")
        if subject.stopping:
            yield _told(entry, subject, "stop")
        subject.stopping = False

    def _network(self, entry: Entry, subject: Subject, action: str) -> Iterator[Message]:
        for found in self._networks.values():
            if found.name == subject.network:
                attributes = {"container": subject.id, "name": found.name, "type": found.driver}
                yield Message("network", action, found.id, attributes, entry.at_ns, entry.seq)

    def _of_exec(self, entry: Entry, event: Event, subject: Subject) -> Iterator[Message]:
        identity = ExecId(entry.stream.rpartition("/")[2])
        command = subject.execs.get(identity, "")
        match event:
            case execution.ExecCreated(spec=spec):
                command = " ".join(spec.arguments)
                subject.execs[identity] = command
                yield _told(entry, subject, f"exec_create: {command}", execID=identity)
            case execution.ExecStarted():
                yield _told(entry, subject, f"exec_start: {command}", execID=identity)
            case execution.ExecExited(code=code):
                subject.execs.pop(identity, None)
                yield _told(entry, subject, "exec_die", execID=identity, exitCode=str(code))
            case execution.ExecStartFailed():
                subject.execs.pop(identity, None)
            case _:
                pass


def _of_others(entry: Entry, event: Event) -> Iterator[Message]:
    match event:
        case image.ImageTagged(reference=reference) | image.ImageUntagged(reference=reference):
            name = parse_reference(reference).familiar
            yield _of_image(entry, _OF_IMAGES[type(event)], name)
        case image.ImageImported() | image.ImageLoaded() | image.ImageRemoved():
            yield _of_image(entry, _OF_IMAGES[type(event)], entry.id)
        case network.NetworkCreated(name=name, driver=driver):
            yield Message(
                "network",
                "create",
                entry.id,
                {"name": name, "type": driver},
                entry.at_ns,
                entry.seq,
            )
        case _:
            pass


def _of_image(entry: Entry, action: str, name: str) -> Message:
    return Message("image", action, entry.id, {"name": name}, entry.at_ns, entry.seq)


def _owner(entry: Entry) -> str:
    """The stream of the thing itself, for an exec that of its container."""
    return "/".join(entry.stream.split("/")[:2])


def _told(entry: Entry, subject: Subject, action: str, **attributes: str) -> Message:
    about = {**subject.labels, "image": subject.image, "name": subject.name, **attributes}
    return Message("container", action, subject.id, about, entry.at_ns, entry.seq)
