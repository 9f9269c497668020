"""Test execs by raw requests against a real daemon: each refusal's status and message, and what is
left afterwards.
"""

import json
from typing import Any, Final

import pytest

from tests.harness.client import Reply
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

REFUSED: Final = "OCI runtime exec failed: exec failed: unable to start container process: "
CTRL_P_CTRL_Q: Final = b"\x10\x11"
SLEEP: Final = ("sleep", "1000")
UNSTARTED: Final = 100


@pytest.fixture
def box(daemon: DaemonUnderTest) -> str:
    """Run a container."""
    return daemon.api.run("box", *SLEEP)


def made(daemon: DaemonUnderTest, *command: str, **body: Any) -> str:
    wanted = {**body, "Cmd": list(command)}
    return str(daemon.api.post("/containers/box/exec", wanted).json["Id"])


def started(daemon: DaemonUnderTest, execution: str) -> Reply:
    return daemon.api.request("POST", f"/exec/{execution}/start", {"Detach": True})


def inspected(daemon: DaemonUnderTest, execution: str) -> Reply:
    return daemon.api.request("GET", f"/exec/{execution}/json")


def test_an_exec_runs_once(daemon: DaemonUnderTest, box: str) -> None:
    execution = made(daemon, *SLEEP)
    assert (inspected(daemon, execution).json["Running"], inspected(daemon, execution).json["ExitCode"]) == (False, None)  # fmt: skip

    assert started(daemon, execution).status == 200
    again = started(daemon, execution)

    assert (again.status, again.message) == (
        409,
        f"Error: Exec command {execution} is already running",
    )
    assert daemon.api.inspect("box")["ExecIDs"] == [execution]
    brief = made(daemon, "sh", "-c", "exit 4")
    assert started(daemon, brief).status == 200
    eventually(lambda: inspected(daemon, brief).json["ExitCode"] == 4, "it has ended")
    again = started(daemon, brief)
    assert (again.status, again.message) == (409, f"Error: Exec command {brief} has already run")
    assert daemon.api.inspect("box")["ExecIDs"] == [execution]


def test_a_terminal_gets_the_size_that_its_start_asks_for(
    daemon: DaemonUnderTest, box: str
) -> None:
    waits = "until [ \"$(stty size)\" = '33 99' ]; do sleep 0.05; done; exit 7"
    execution = made(daemon, "sh", "-c", waits, Tty=True, ConsoleSize=[24, 80])

    body = {"Detach": True, "Tty": True, "ConsoleSize": [33, 99]}
    assert daemon.api.request("POST", f"/exec/{execution}/start", body).status == 200

    eventually(lambda: inspected(daemon, execution).json["ExitCode"] == 7, "it has the size")


def test_a_size_of_another_shape_is_refused(daemon: DaemonUnderTest, box: str) -> None:
    execution = made(daemon, *SLEEP, Tty=True)

    body = {"Detach": True, "ConsoleSize": ["tall"]}
    assert daemon.api.request("POST", f"/exec/{execution}/start", body).status == 400


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (
            {"Cmd": ["nope"]},
            REFUSED + 'exec: "nope": executable file not found in $PATH: unknown',
            127,
        ),
        ({"Cmd": ["/etc"]}, REFUSED + 'exec: "/etc": permission denied: unknown', 126),
        (
            {"Cmd": ["true"], "WorkingDir": "/nonex"},
            REFUSED
            + 'chdir to cwd ("/nonex") set in config.json failed: no such file or directory: unknown',
            127,
        ),
        (
            {"Cmd": ["true"], "User": "nobodyx"},
            "unable to find user nobodyx: no matching entries in passwd file",
            126,
        ),
    ],
)
def test_what_cannot_be_executed_is_refused_in_all_of_dockers_words(
    body: dict[str, Any], message: str, code: int, daemon: DaemonUnderTest, box: str
) -> None:
    execution = (
        made(daemon, **body) if "Cmd" not in body else made(daemon, *body.pop("Cmd"), **body)
    )

    refused = started(daemon, execution)

    assert (refused.status, refused.message) == (400, message)
    assert inspected(daemon, execution).json["ExitCode"] == code
    assert started(daemon, execution).message == f"Error: Exec command {execution} has already run"


def test_an_exec_is_refused_while_its_container_is_paused(
    daemon: DaemonUnderTest, box: str
) -> None:
    execution = made(daemon, "true")
    daemon.api.post("/containers/box/pause")

    refused = started(daemon, execution)

    words = "is paused, unpause the container before exec"
    assert (refused.status, refused.message) == (409, f"Container {box} {words}")
    refused = daemon.api.request("POST", "/containers/box/exec", {"Cmd": ["true"]})
    assert (refused.status, refused.message) == (409, f"Container box {words}")
    daemon.api.post("/containers/box/unpause")
    assert started(daemon, execution).status == 200


def test_unstarted_execs_end_with_the_run_and_ended_ones_keep_their_code(
    daemon: DaemonUnderTest, box: str
) -> None:
    never, ran = made(daemon, "true"), made(daemon, *SLEEP)
    started(daemon, ran)

    daemon.api.kill("box")

    eventually(lambda: inspected(daemon, never).status == 404, "it is no more")
    absent = f"No such exec instance: {never}"
    for reply in (inspected(daemon, never), started(daemon, never)):
        assert (reply.status, reply.message) == (404, absent)
    assert inspected(daemon, ran).json["ExitCode"] == 137
    assert daemon.api.inspect("box")["ExecIDs"] is None
    daemon.api.remove("box")
    assert inspected(daemon, ran).status == 404


def test_an_exec_without_a_terminal_has_no_size_and_that_is_no_error(
    daemon: DaemonUnderTest, box: str
) -> None:
    execution = made(daemon, *SLEEP)
    started(daemon, execution)

    assert daemon.api.request("POST", f"/exec/{execution}/resize?h=3&w=4").status == 200
    assert daemon.api.request("POST", "/containers/box/resize?h=3&w=4").status == 200
    eventually(lambda: daemon.api.event_types("box")[-1] == "container_resized", "the log has it")


def test_detaching_from_an_exec_is_recorded(daemon: DaemonUnderTest, box: str) -> None:
    """With keys that reach the engine; a client that handles them itself just disconnects."""
    streams = {"AttachStdin": True, "AttachStdout": True, "Tty": True}
    execution = made(daemon, "cat", **streams)
    with daemon.api.hijack(f"/exec/{execution}/start", {"Tty": True}) as stream:
        stream.send(CTRL_P_CTRL_Q)

        eventually(lambda: "exec_detach" in reported(daemon), "it is reported")
    assert reported(daemon)[-3:] == ["exec_create", "exec_start", "exec_detach"]
    assert inspected(daemon, execution).json["Running"]


def reported(daemon: DaemonUnderTest) -> list[str]:
    """Return the actions of all events of the container, without what follows their names."""
    wanted = {"filters": json.dumps({"container": ["box"]}), "since": "1m", "until": "0s"}
    lines = daemon.api.call("GET", "/events", **wanted).body.splitlines()
    return [json.loads(line)["Action"].partition(":")[0] for line in lines]


def test_every_order_is_recorded_with_who_gave_it(daemon: DaemonUnderTest, box: str) -> None:
    """An auditor's question: which user, which process, which program, by which request."""
    execution = made(daemon, *SLEEP)
    started(daemon, execution)
    daemon.api.post("/containers/box/resize", h=3, w=4)
    daemon.api.post("/containers/box/pause")
    daemon.api.post("/containers/box/unpause")
    daemon.api.stop("box", 0)
    daemon.api.post("/containers/prune")

    events = [event for event in daemon.api.history() if event["actor"]["kind"] == "user"]

    asked = {event["type"]: event for event in events}
    assert {
        *("container_created", "container_start_requested", "exec_created"),
        *("exec_start_requested", "container_resized", "container_pause_requested"),
        *("container_unpause_requested", "container_stop_requested"),
        *("container_remove_requested", "host_pruned"),
    } <= asked.keys()
    for event in asked.values():
        actor = event["actor"]
        assert {"uid", "gid", "pid", "program"} <= actor.keys(), event
        assert actor["program"].rpartition("/")[2].startswith("python")
        assert len(event["correlation"]) == 32


def test_execs_that_nobody_started_end_with_their_container_in_one_append(
    daemon: DaemonUnderTest, box: str
) -> None:
    """All changes of an append have one time. 3,000 commits, one each, took 1.4 s."""
    created = {daemon.api.create_exec(box, "true") for _ in range(UNSTARTED)}

    daemon.api.remove(box)

    ended = daemon.api.history(box, type="exec_start_failed")
    assert {each["stream"].rpartition("/")[2] for each in ended} == created
    assert len({each["at_ns"] for each in ended}) == 1
