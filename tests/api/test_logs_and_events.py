"""Test ``logs``, ``events``, ``history`` and the past, with both commands where Docker has it."""

import json
import re
import select
from datetime import UTC, datetime

import pytest

from tests.api.clients import Client
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

FIVE = "for i in 1 2 3 4 5; do echo line $i; done; echo err >&2"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ")


@pytest.fixture
def five(client: Client) -> str:
    """Run a container that has written five lines."""
    client.ok("run", "--name", "five", "busybox", "sh", "-c", FIVE)
    return "five"


def test_a_log_is_sent_completely_and_by_stream(client: Client, five: str) -> None:
    done = client("logs", five)

    assert done.out.splitlines() == [f"line {number}" for number in range(1, 6)]
    assert done.err == "err\n"


@pytest.mark.parametrize(
    ("tail", "lines"), [("2", 2), ("0", 0), ("6", 6), ("100", 6), ("all", 6), ("x", 6)]
)
def test_the_tail_counts_lines_of_both_streams(
    tail: str, lines: int, client: Client, five: str
) -> None:
    done = client("logs", "--tail", tail, five)

    assert len(done.out.splitlines() + done.err.splitlines()) == lines


def test_lines_are_stamped_with_their_time(client: Client, five: str) -> None:
    lines = client.ok("logs", "-t", five).splitlines()

    stamps = [STAMP.match(line) for line in lines]
    assert all(stamps)
    assert [line[31:] for line in lines] == [f"line {number}" for number in range(1, 6)]


def test_a_log_begins_and_ends_at_moments(client: Client) -> None:
    script = "echo one; sleep 0.3; echo two; sleep 0.3; echo three"
    client.ok("run", "--name", "slow", "busybox", "sh", "-c", script)
    stamps = [line[:30] for line in client.ok("logs", "-t", "slow").splitlines()]

    assert client.ok("logs", "--since", stamps[1], "slow") == "two\nthree"
    assert client.ok("logs", "--until", stamps[1], "slow").splitlines()[0] == "one"
    assert "three" not in client.ok("logs", "--until", stamps[1], "slow")
    assert client.ok("logs", "--since", "1h", "slow") == "one\ntwo\nthree"


def test_a_followed_log_ends_with_its_container(client: Client) -> None:
    script = "echo ready; while [ ! -e /go ]; do sleep 0.02; done; echo end"
    client.ok("run", "-d", "--name", "web", "busybox", "sh", "-c", script)
    with client.started("logs", "-f", "web") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

        client("exec", "web", "touch", "/go")  # may be ended by the end of the container

        assert process.communicate(timeout=20) == (b"end\n", b"")
        assert process.returncode == 0


def test_a_line_without_an_end_is_sent_without_one(client: Client) -> None:
    client.ok("run", "--name", "torn", "busybox", "printf", "no end")

    assert client("logs", "torn").raw_out == b"no end"


def test_the_log_is_a_file_in_dockers_format(client: Client, five: str) -> None:
    path = client.ok("inspect", "-f", "{{.LogPath}}", five)

    with open(path) as file:  # noqa: PTH123  (one line is the point)
        entries = [json.loads(line) for line in file]
    assert {tuple(sorted(entry)) for entry in entries} == {("log", "stream", "time")}
    assert {"log": "line 1\n", "stream": "stdout"}.items() <= entries[0].items()


def now() -> str:
    return datetime.now(tz=UTC).isoformat()


def test_events_report_a_containers_lifecycle(client: Client) -> None:
    name = f"brief-{client.name}"
    client("run", "--rm", "--name", name, "-l", "a=b", "busybox", "sh", "-c", "exit 3")

    out = client.ok(
        *("events", "--since", "1m", "--until", now(), "--filter", f"container={name}"),
        *("--format", "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.a}}"),
    )

    actions = [line.split()[0] for line in out.splitlines()]
    assert [each for each in actions if each in ("create", "start", "die", "destroy")] == [
        "create", "start", "die", "destroy",
    ]  # fmt: skip
    assert {tuple(line.split()[1:]) for line in out.splitlines()} == {(name, "b")}


def test_events_are_sent_as_they_happen(client: Client) -> None:
    with client.started("events", "--filter", "event=die", "--format", "{{.Status}}") as process:
        out = process.stdout
        assert out is not None

        def is_sent() -> bool:
            client.ok("run", "--rm", "busybox", "true")
            return bool(select.select([out], [], [], 0.2)[0])

        eventually(is_sent, "it listens, and an event is sent")
        assert out.readline() == b"die\n"


def test_history_says_what_happened_to_whom_and_who_asked(shipslog: Client) -> None:
    identity = shipslog.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    shipslog.ok("kill", "web")
    shipslog.ok("rm", "web")

    lines = shipslog.ok("history", "web", "--format", "jsonl").splitlines()
    events = [json.loads(line) for line in lines]

    types = [event["type"] for event in events]
    assert [each for each in types if not each.startswith("container_attach")][:3] == [
        "container_created", "container_start_requested", "container_started",
    ]  # fmt: skip
    assert types[-1] == "container_removed"
    assert "container_exited" in types
    table = shipslog.ok("history", identity[:12])
    assert "root" in table
    assert "web" in table


def test_the_past_is_listed_and_inspected(shipslog: Client) -> None:
    shipslog.ok("run", "-d", "--name", "past", "busybox", "sleep", "1000")
    at = now()
    shipslog.ok("rm", "-f", "past")

    assert shipslog.ok("ps", "--format", "{{.Names}}") == ""
    assert shipslog.ok("ps", "--at", at, "--format", "{{.Names}} {{.State}}") == "past running"
    form = "{{.Name}} {{.State.Status}}"
    assert shipslog.ok("inspect", "--at", at, "-f", form, "past") == "/past running"
    assert shipslog.ok("ps", "-a", "--at", "1h ago", "--format", "{{.Names}}") == ""


def test_the_log_of_events_is_sound(shipslog: Client, daemon: DaemonUnderTest) -> None:
    shipslog.ok("run", "--rm", "busybox", "true")

    eventually(lambda: shipslog("verify").code == 0, "it verifies")


def test_a_malformed_time_is_refused(client: Client, five: str) -> None:
    done = client("logs", "--since", "yonder", five)

    assert done.code == 1
    assert 'invalid value for "since"' in done.err
