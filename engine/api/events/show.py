"""Translate events of the log to messages of Docker's ``/events``.

One event can be several messages (an exit is ``die``, ``disconnect`` and perhaps ``stop``), or
none: most intents are not reported. A message describes its object as it was at that moment, which
follows from the events before it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from signal import Signals
from typing import Final, NamedTuple

from engine.api.http.json_bodies import Json
from engine.api.times import SECOND_NS
from engine.domain import host
from engine.domain.container import attachment as membership
from engine.domain.container import audit_events, health
from engine.domain.container import events as container
from engine.domain.container import update as container_update
from engine.domain.event import ActorKind, Event
from engine.domain.exec import state as execution
from engine.domain.ids import ExecId, ImageId, NetworkId
from engine.domain.image import state as image
from engine.domain.image.reference import parse_reference
from engine.domain.image.state import Image
from engine.domain.network import state as network
from engine.domain.network.state import BRIDGE_DRIVER, Network
from engine.queries.events import Arrival, Subject, command_text, exec_of, owner_of
from engine.queries.history import Entry

POSITION: Final = "shipslog.seq"
"""The attribute with a message's place in the log: ``SEQ.PART``; the second message of event
``SEQ`` has ``SEQ.2``."""

SCOPE: Final = "local"
"""The scope of all messages of a single engine."""

_PLAIN: Final[Mapping[type[Event], str]] = {
    container.AttachOpened: "attach",
    container.Paused: "pause",
    container.Unpaused: "unpause",
    container.OutOfMemory: "oom",
    container_update.Updated: "update",
    container.Removed: "destroy",
    audit_events.ProcessesListed: "top",
    audit_events.Exported: "export",
    audit_events.PathRead: "archive-path",
    audit_events.PathWritten: "extract-to-dir",
}
"""Events with no attributes of their own."""
_OF_IMAGES: Final[Mapping[type[Event], str]] = {
    image.ImageImported: "import",
    image.ImageLoaded: "load",
    image.ImageSaved: "save",
    image.ImageTagged: "tag",
    image.ImageUntagged: "untag",
    image.ImageRemoved: "delete",
}
_WITHOUT_COMMAND: Final = (126, 127)
"""Exit codes of a start that failed when everything else, the network included, was in place."""


class Content(NamedTuple):
    """What a message says, without its time."""

    type: str
    action: str
    id: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of Docker's, and its place in the log."""

    content: Content
    at_ns: int
    seq: int
    part: int

    def json(self) -> Json:
        """Return EventMessage, with the old fields that containers and images have."""
        kind, action, identity, attributes = self.content
        message: Json = {
            "Type": kind,
            "Action": action,
            "Actor": {
                "ID": identity,
                "Attributes": {**attributes, POSITION: f"{self.seq}.{self.part}"},
            },
            "scope": SCOPE,
            "time": self.at_ns // SECOND_NS,
            "timeNano": self.at_ns,
        }
        if kind in ("container", "image"):
            message["status"] = action
            if identity:
                message["id"] = identity
            if kind == "container" and "image" in attributes:
                message["from"] = attributes["image"]
        return message


class Translator:
    """Translates the log's events one after the other, and remembers what it needs of earlier
    ones.
    """

    def __init__(
        self, networks: Mapping[NetworkId, Network], images: Mapping[ImageId, Image]
    ) -> None:
        self._networks = networks
        self._images = images
        self._subjects: dict[str, Subject] = {}
        self._labels: dict[str, Mapping[str, str]] = {}
        """Labels of images that are gone, by ID, until their removal has been reported."""
        self._loaded = ("", "")
        """The image whose load was reported last, and the request that loaded it."""

    def knows(self, entry: Entry) -> bool:
        """Return whether an event can be translated; if not, call :meth:`learn` about its container
        first.
        """
        if not entry.stream.startswith("container/") or isinstance(entry.data, container.Created):
            return True
        subject = self._subjects.get(owner_of(entry))
        if subject is None:
            return False
        needs_command = isinstance(entry.data, execution.ExecStartRequested)
        return not needs_command or exec_of(entry) in subject.commands

    def learn(self, entry: Entry, subject: Subject) -> None:
        """Remember an event's container as it was just before the event."""
        known = self._subjects.setdefault(owner_of(entry), subject)
        known.commands.update(subject.commands)

    def needs_labels(self, entry: Entry) -> bool:
        """Return whether an event is about an image whose labels are unknown; then call
        :meth:`learn_labels`.
        """
        event = entry.data
        return (
            type(event) in _OF_IMAGES
            and not isinstance(event, Arrival | image.ImageRemoved)
            and entry.id not in self._labels
            and ImageId(entry.id) not in self._images
        )

    def learn_labels(self, entry: Entry, labels: Mapping[str, str]) -> None:
        """Remember the labels of the image that an event is about."""
        self._labels[entry.id] = labels

    def messages(self, entry: Entry) -> tuple[Message, ...]:
        """Return Docker's messages for one event of the log."""
        parts = enumerate(self._contents(entry), start=1)
        return tuple(Message(content, entry.at_ns, entry.seq, part) for part, content in parts)

    def _contents(self, entry: Entry) -> Iterator[Content]:
        match entry.stream.partition("/")[0]:
            case "container":
                return self._of_container(entry)
            case "image":
                return self._of_image(entry)
            case _:
                return _of_others(entry)

    def _of_container(self, entry: Entry) -> Iterator[Content]:
        owner, event = owner_of(entry), entry.data
        if isinstance(event, container.Created):
            self._subjects[owner] = Subject.of(event)
        subject = self._subjects[owner]
        if identity := exec_of(entry):
            yield from _of_exec(subject, identity, event)
            subject.follow_exec(identity, event)
            return
        yield from self._turning_point(subject, event, entry.at_ns)
        subject.follow(event, entry.at_ns)
        if isinstance(event, container.Removed):
            del self._subjects[owner]

    def _turning_point(self, subject: Subject, event: Event, at_ns: int) -> Iterator[Content]:
        """Return the messages of an event that moves a container from one phase to another; there
        are often several.
        """
        match event:
            case container.Started():
                yield from self._networks_of(subject, "connect")
                yield _about(subject, "start")
                if subject.restarting:
                    yield _about(subject, "restart")
            case container.StartFailed(exit_code=code) if code in _WITHOUT_COMMAND:
                yield from self._networks_of(subject, "connect")
                yield from self._networks_of(subject, "disconnect")
            case container.Unpaused() if subject.killed:
                return  # it does not go on, it ends
            case container.RemoveRequested(force=True) if subject.running:
                yield _about(subject, "kill", signal=str(int(Signals.SIGKILL)))
            case container.Exited(code=code):
                ran_s = str(subject.ran_ns(at_ns) // SECOND_NS)
                yield _about(subject, "die", execDuration=ran_s, exitCode=str(code))
                yield from self._networks_of(subject, "disconnect")
                if subject.stopping:
                    yield _about(subject, "stop")
            case membership.Connected(order=order) if subject.running and order in subject.moving:
                yield self._of_membership(subject, "connect", *subject.moving[order])
            case membership.Disconnected(order=order) if order in subject.moving:
                yield self._of_membership(subject, "disconnect", *subject.moving[order])
            case _:
                yield from _of_other_container_event(subject, event)

    def _networks_of(self, subject: Subject, action: str) -> Iterator[Content]:
        """Return all networks that a container is in; ``host`` or ``none`` for a container without
        networks of its own.
        """
        for identity, name in subject.networks.items():
            yield self._of_membership(subject, action, identity, name)
        for found in self._networks.values():
            if not found.bridge and found.name == subject.mode:
                yield self._of_membership(subject, action, found.id, found.name)

    def _of_membership(
        self, subject: Subject, action: str, identity: NetworkId, name: str
    ) -> Content:
        network = self._networks.get(identity)  # a network that is gone was most likely a bridge
        driver = network.driver if network else BRIDGE_DRIVER
        attributes = {"container": subject.id, "name": name, "type": driver}
        return Content("network", action, identity, attributes)

    def _of_image(self, entry: Entry) -> Iterator[Content]:
        """Return the messages of an image's event. Names that a loaded image brings along are not
        reported, only those that users give.
        """
        event, request = entry.data, (entry.stream, entry.correlation)
        if isinstance(event, image.ImageLoaded):
            self._loaded = request
        if isinstance(event, image.ImageTagged) and self._loaded == request:
            return
        if (action := _OF_IMAGES.get(type(event))) is None:
            return
        name = entry.id
        if isinstance(event, image.ImageTagged):
            name = parse_reference(event.reference).familiar
        yield Content("image", action, entry.id, {**self._labels_of(entry), "name": name})

    def _labels_of(self, entry: Entry) -> Mapping[str, str]:
        event, known = entry.data, self._images.get(ImageId(entry.id))
        if isinstance(event, image.ImageRemoved):
            self._labels.pop(entry.id, None)
            return {}
        if isinstance(event, Arrival):
            return event.contents.config.labels
        return known.contents.config.labels if known else self._labels.get(entry.id, {})


def _of_other_container_event(subject: Subject, event: Event) -> Iterator[Content]:
    """Return the messages of events that leave a container's phase as it is, or freeze and thaw
    it.
    """
    match event:
        case container.Created():
            yield _about(subject, "create")
        case container.Renamed(name=name, before=before):
            yield _about(subject, "rename", name=name, oldName=f"/{before}")
        case container.Signalled(signal=signal):
            yield _about(subject, "kill", signal=str(signal))
        case container.AttachClosed(reason="detached"):
            yield _about(subject, "detach")
        case audit_events.Resized(height=height, width=width):
            yield _about(subject, "resize", height=str(height), width=str(width))
        case audit_events.Committed(image=made, comment=comment, reference=reference):
            yield _about(subject, "commit", comment=comment, imageID=made, imageRef=reference)
        case health.HealthChanged(status=status):
            yield _about(subject, f"health_status: {status}")
        case _:
            if action := _PLAIN.get(type(event)):
                yield _about(subject, action)


def _of_exec(subject: Subject, identity: ExecId, event: Event) -> Iterator[Content]:
    """Return the messages of an exec's event. Docker reports the start of an exec before it tries,
    so the intent is reported.
    """
    match event:
        case execution.ExecCreated(spec=spec):
            yield _about(subject, f"exec_create: {command_text(spec)}", execID=identity)
        case execution.ExecStartRequested():
            command = subject.commands.get(identity, "")
            yield _about(subject, f"exec_start: {command}", execID=identity)
        case execution.ExecDetached():
            yield _about(subject, "exec_detach", execID=identity)
        case execution.ExecExited(code=code):
            yield _about(subject, "exec_die", execID=identity, exitCode=str(code))
        case _:
            pass


def _of_others(entry: Entry) -> Iterator[Content]:
    match entry.data:
        case network.NetworkCreated(name=name, driver=driver):
            # The networks that every engine has are not reported.
            if entry.actor.kind is ActorKind.USER:
                yield Content("network", "create", entry.id, {"name": name, "type": driver})
        case network.NetworkRemoved(name=name, driver=driver):
            if entry.actor.kind is ActorKind.USER:
                yield Content("network", "destroy", entry.id, {"name": name, "type": driver})
        case host.Pruned(kind=kind, reclaimed_bytes=reclaimed_bytes):
            yield Content(kind, "prune", "", {"reclaimed": str(reclaimed_bytes)})
        case _:
            pass


def _about(subject: Subject, action: str, **attributes: str) -> Content:
    known = {**subject.labels, "image": subject.image, "name": subject.name}
    return Content("container", action, subject.id, {**known, **attributes})
