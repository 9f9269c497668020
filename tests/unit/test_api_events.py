"""Test events of the log in the words of Docker's ``/events``, and which clients get which of
them.
"""

import pytest

from engine.api.events.filters import is_wanted
from engine.api.events.show import Content, Translator
from engine.api.filters import Filters
from engine.domain.container import audit_events as uses
from engine.domain.container import events as happened
from engine.domain.container.events import ProcessIdentity
from engine.domain.container.health import HealthChanged, HealthStatus, ProbeResult
from engine.domain.container.spec import Spec
from engine.domain.event import Actor, ActorKind, Event
from engine.domain.exec.state import (
    ExecCreated,
    ExecDetached,
    ExecExited,
    ExecSpec,
    ExecStarted,
    ExecStartFailed,
    ExecStartRequested,
)
from engine.domain.host import Pruned
from engine.domain.ids import ContainerId, ExecId, ImageId, NetworkId
from engine.domain.image.config import ImageConfig, ImageContents
from engine.domain.image.state import Image, ImageLoaded, ImageRemoved, ImageTagged, ImageUntagged
from engine.domain.image.state import Phase as ImagePhase
from engine.domain.network.state import Network, NetworkCreated
from engine.queries.events import Subject
from engine.queries.history import Entry

SECOND = 10**9
ID = ContainerId("c" * 64)
IMAGE_ID = ImageId("sha256:" + "1" * 64)
NETWORK = Network(id=NetworkId("b" * 64), name="bridge", driver="bridge", created_ns=SECOND)
IMAGE = Image(
    phase=ImagePhase.PRESENT,
    contents=ImageContents(
        id=IMAGE_ID,
        config_bytes=1,
        created="2026-11-23T19:02:10Z",
        architecture="amd64",
        os="linux",
        config=ImageConfig(labels={"tier": "front"}),
        layers=(),
    ),
)
SPEC = Spec(image="busybox", image_id=IMAGE_ID, command=("sh",), labels={"a": "b"})


def shown(*events: Event, stream: str = f"container/{ID}") -> list[str]:
    return [f"{each.type} {each.action}" for each in said(*events, stream=stream)]


def said(
    *events: Event, stream: str = f"container/{ID}", kind: ActorKind = ActorKind.USER
) -> list[Content]:
    translator = Translator({NETWORK.id: NETWORK}, {IMAGE_ID: IMAGE})
    found = []
    for number, event in enumerate(events, 1):
        of = f"{stream}/exec/{'e' * 64}" if event.TYPE.startswith("exec_") else stream
        entry = Entry(
            seq=number, at_ns=number * SECOND, type=event.TYPE, stream=of, version=number, id=stream.partition("/")[2], name="",
            actor=Actor(kind=kind), outcome="", cause=None, correlation="", data=event,
        )  # fmt: skip
        if not translator.knows(entry):
            translator.learn(entry, Subject(ID, "web", "busybox", {}, "bridge"))
        found += [each.content for each in translator.messages(entry)]
    return found


PROCESS = ProcessIdentity(pid=1, start_ticks=1, boot_id="b")
STARTED = happened.Started(process=PROCESS, monitor=PROCESS, boot_ns=1)


def test_a_lifecycle_is_reported_in_dockers_order() -> None:
    actions = shown(
        happened.Created(id=ID, name="web", spec=SPEC),
        happened.StartRequested(run=1),
        STARTED,
        happened.StopRequested(order=1, signal=15, timeout_s=10, boot_ns=1),
        happened.Signalled(order=1, signal=15),
        happened.Exited(code=0),
        happened.RemoveRequested(),
        happened.Removed(),
    )

    assert actions == [
        "container create",
        "network connect",
        "container start",
        "container kill",
        "container die",
        "network disconnect",
        "container stop",
        "container destroy",
    ]


def test_a_restart_is_reported_as_stop_start_and_restart() -> None:
    actions = shown(
        STARTED,
        happened.StopRequested(order=1, signal=15, timeout_s=10, boot_ns=1, then_start=True),
        happened.Exited(code=0),
        STARTED,
    )

    assert [each for each in actions if each.startswith("container")] == [
        "container start",
        "container die",
        "container stop",
        "container start",
        "container restart",
    ]


def test_execs_are_shown_with_their_command() -> None:
    actions = shown(
        ExecCreated(id=ExecId("e" * 64), container=ID, spec=ExecSpec(arguments=("ls", "-l"))),
        ExecStartRequested(),
        ExecStarted(process=PROCESS),
        ExecDetached(),
        ExecExited(code=0),
    )

    assert actions == [
        "container exec_create: ls -l",
        "container exec_start: ls -l",
        "container exec_detach",
        "container exec_die",
    ]


def test_a_command_without_arguments_is_shown_with_a_blank_after_it() -> None:
    assert shown(
        ExecCreated(id=ExecId("e" * 64), container=ID, spec=ExecSpec(arguments=("ls",))),
        ExecStartRequested(),
        ExecStartFailed(message="no", exit_code=127),
    ) == ["container exec_create: ls ", "container exec_start: ls "]


def test_a_removal_by_force_is_reported_as_a_kill() -> None:
    assert shown(STARTED, happened.RemoveRequested(force=True), happened.Exited(code=137))[2:] == [
        "container kill",
        "container die",
        "network disconnect",
    ]
    assert shown(happened.RemoveRequested(force=True)) == []


def test_a_container_thawed_to_be_killed_is_not_reported_as_unpaused() -> None:
    assert shown(happened.Signalled(order=1, signal=9), happened.Unpaused(order=2)) == [
        "container kill"
    ]
    assert shown(happened.Signalled(order=1, signal=15), happened.Unpaused(order=2)) == [
        "container kill",
        "container unpause",
    ]


def test_a_start_without_a_program_has_been_on_the_network() -> None:
    assert shown(happened.StartFailed(message="no", exit_code=127)) == [
        "network connect",
        "network disconnect",
    ]
    assert shown(happened.StartFailed(message="no bridge", exit_code=125)) == []


def test_a_restart_of_a_stopped_container_is_reported_as_one() -> None:
    assert shown(happened.StartRequested(run=2, restart=True), STARTED)[-1] == "container restart"
    assert shown(happened.StartRequested(run=2), STARTED)[-1] == "container start"


@pytest.mark.parametrize(
    ("event", "action"),
    [
        (uses.Resized(height=1, width=2), "resize"),
        (uses.ProcessesListed(), "top"),
        (uses.Exported(), "export"),
        (uses.PathRead(path="/a"), "archive-path"),
        (uses.PathWritten(path="/a"), "extract-to-dir"),
        (uses.Committed(image=IMAGE_ID), "commit"),
        (happened.AttachOpened(attach="a"), "attach"),
        (happened.AttachClosed(attach="a", reason="detached"), "detach"),
        (happened.OutOfMemory(count=1), "oom"),
        (
            HealthChanged(
                status=HealthStatus.HEALTHY,
                failing_streak=0,
                result=ProbeResult(started_ns=1, ended_ns=2, exit_code=0, output=""),
            ),
            "health_status: healthy",
        ),
    ],
)
def test_actions_on_a_container_are_reported(event: Event, action: str) -> None:
    assert shown(event) == [f"container {action}"]


def test_prunes_are_reported_with_their_kind() -> None:
    assert shown(Pruned(kind="image", reclaimed_bytes=7), stream="host") == ["image prune"]


def test_names_that_a_loaded_image_brought_along_are_not_reported() -> None:
    contents = IMAGE.contents
    assert shown(
        ImageLoaded(contents=contents),
        ImageTagged(reference="docker.io/library/a:b"),
        stream=f"image/{IMAGE_ID}",
    ) == ["image load"]


def test_an_exit_without_an_order_is_not_a_stop() -> None:
    assert "container stop" not in shown(STARTED, happened.Exited(code=1))


def test_images_are_shown_too() -> None:
    assert shown(ImageTagged(reference="docker.io/library/a:b"), stream=f"image/{IMAGE_ID}") == [
        "image tag"
    ]


def test_image_events_have_the_id_and_the_labels_while_there_are_any() -> None:
    stream = f"image/{IMAGE_ID}"
    name = "docker.io/library/a:b"
    events = (ImageTagged(reference=name), ImageUntagged(reference=name), ImageRemoved())

    assert [each.attributes for each in said(*events, stream=stream)] == [
        {"tier": "front", "name": "a:b"},
        {"tier": "front", "name": IMAGE_ID},
        {"name": IMAGE_ID},
    ]


def test_labels_of_an_image_that_is_gone_are_asked_for_and_forgotten_with_it() -> None:
    stream, name = f"image/{IMAGE_ID}", "docker.io/library/a:b"
    translator = Translator({}, {})
    untagged = entry_of(ImageUntagged(reference=name), stream)
    assert translator.needs_labels(untagged)

    translator.learn_labels(untagged, {"tier": "front"})

    assert not translator.needs_labels(untagged)
    (message,) = translator.messages(untagged)
    assert message.content.attributes == {"tier": "front", "name": IMAGE_ID}
    assert not translator.needs_labels(entry_of(ImageRemoved(), stream))
    translator.messages(entry_of(ImageRemoved(), stream))
    assert translator.needs_labels(untagged)


def test_an_event_of_a_new_image_has_its_labels() -> None:
    loaded = entry_of(ImageLoaded(contents=IMAGE.contents), f"image/{IMAGE_ID}")

    (message,) = Translator({}, {}).messages(loaded)

    assert message.content.attributes["tier"] == "front"


def entry_of(event: Event, stream: str) -> Entry:
    return Entry(
        seq=1, at_ns=SECOND, type=event.TYPE, stream=stream, version=1, id=stream.partition("/")[2], name="",
        actor=Actor(kind=ActorKind.USER), outcome="", cause=None, correlation="", data=event,
    )  # fmt: skip


def test_networks_that_every_engine_has_make_no_events() -> None:
    created = NetworkCreated(id=NETWORK.id, name="bridge", driver="bridge")
    stream = f"network/{NETWORK.id}"

    assert said(created, stream=stream, kind=ActorKind.SUPERVISOR) == []
    assert said(created, stream=stream) != []


START = Content("container", "start", ID, {"image": "team/app:1", "name": "web", "a": "b"})
EXEC = Content("container", "exec_start: ls -l", ID, {"image": "busybox", "name": "web"})
PULLED = Content("image", "tag", IMAGE_ID, {"name": "busybox:latest"})
CONNECTED = Content("network", "connect", NETWORK.id, {"container": ID, "name": "bridge"})


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (START, {"container": ["web"]}),
        (START, {"container": ["we"]}),
        (START, {"container": [ID[:8]]}),
        (START, {"container": ["/web"]}),
        (START, {"container": ["nope", "web"]}),
        (START, {"event": ["start", "stop"]}),
        (EXEC, {"event": ["exec_start"]}),
        (EXEC, {"event": ["exec_start: ls -l"]}),
        (START, {"event": ["exec_start", "sta"]}),
        (START, {"image": ["team/app"]}),
        (START, {"image": ["team/app:1"]}),
        (PULLED, {"image": ["busybox"]}),
        (PULLED, {"image": [IMAGE_ID]}),
        (START, {"label": ["a"]}),
        (START, {"label": ["a=b"], "type": ["container"], "scope": ["local"]}),
        (CONNECTED, {"network": ["bri"], "type": ["network"]}),
        (CONNECTED, {"after_seq": ["1"]}),
    ],
)
def test_a_filter_includes(message: Content, wanted: dict[str, list[str]]) -> None:
    assert is_wanted(message, Filters(wanted))


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (START, {"container": ["eb"]}),
        (START, {"event": ["sta"]}),
        (EXEC, {"event": ["exec_create"]}),
        (START, {"image": ["team"]}),
        (START, {"image": ["app:1"]}),
        (PULLED, {"image": ["busy"]}),
        (START, {"label": ["a", "b"]}),
        (START, {"label": ["a=c"]}),
        (START, {"type": ["network"]}),
        (START, {"scope": ["swarm"]}),
        (START, {"container": ["web"], "event": ["stop"]}),
        (CONNECTED, {"container": [ID]}),
        *((START, {kind: ["x"]}) for kind in ("config", "daemon", "node", "plugin")),
        *((START, {kind: ["x"]}) for kind in ("secret", "service", "volume", "network")),
    ],
)
def test_a_filter_excludes(message: Content, wanted: dict[str, list[str]]) -> None:
    assert not is_wanted(message, Filters(wanted))
