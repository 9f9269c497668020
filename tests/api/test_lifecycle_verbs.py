"""Test the verbs for containers, with both commands."""

import json

import pytest

from tests.api.clients import SHIPSLOG, Client
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

STOPS_AT_ONCE = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.02; done")


def names(client: Client, *options: str) -> list[str]:
    return client.ok("ps", "--format", "{{.Names}}", *options).split()


def state(client: Client, container: str) -> str:
    return client.ok("inspect", "-f", "{{.State.Status}}", container)


def test_a_container_from_creation_to_removal(client: Client) -> None:
    identity = client.ok("create", "--name", "web", "busybox", *STOPS_AT_ONCE)
    assert len(identity) == 64
    assert state(client, "web") == "created"
    for words, answer, then in [
        (("start", "web"), "web", "running"),
        (("pause", "web"), "web", "paused"),
        (("unpause", "web"), "web", "running"),
        (("restart", "web"), "web", "running"),
        (("rename", "web", "www"), "", "running"),
        (("stop", "www"), "www", "exited"),
        (("start", "www"), "www", "running"),
        (("kill", "www"), "www", "exited"),
    ]:
        assert client.ok(*words) == answer
        assert state(client, identity) == then

    assert client.ok("rm", "www") == "www"
    assert names(client, "-a") == []


def test_a_run_in_the_background_shows_the_id_alone(client: Client) -> None:
    identity = client.ok("run", "-d", "--name", "back", "busybox", "sleep", "1000")

    assert client.ok("inspect", "-f", "{{.Id}} {{.State.Running}}", "back") == f"{identity} true"
    assert client.ok("ps", "-q") == identity[:12]
    assert client.ok("ps", "-q", "--no-trunc") == identity


def test_a_container_that_is_removed_after_its_run_is_gone_when_the_client_returns(
    client: Client,
) -> None:
    client.ok("run", "--rm", "--name", "gone", "busybox", "true")

    assert names(client, "-a") == []


def test_a_background_run_is_removed_too(client: Client) -> None:
    client.ok("run", "-d", "--rm", "--name", "gone", "busybox", "true")

    eventually(lambda: names(client, "-a") == [], "it is removed")


def test_several_are_named_at_once_and_each_is_reported(client: Client) -> None:
    for name in ("one", "two"):
        client.ok("run", "-d", "--name", name, "busybox", "sleep", "1000")

    done = client("kill", "one", "nosuch", "two")

    assert done.code == 1
    assert done.out.split() == ["one", "two"]
    assert "No such container: nosuch" in done.err
    assert client.ok("rm", "one", "two").split() == ["one", "two"]


def test_a_restart_has_another_process(client: Client) -> None:
    client.ok("run", "-d", "--name", "web", "busybox", *STOPS_AT_ONCE)
    before = client.ok("inspect", "-f", "{{.State.Pid}}", "web")

    client.ok("restart", "web")

    assert client.ok("inspect", "-f", "{{.State.Pid}}", "web") != before


def test_a_signal_of_ones_choice(client: Client) -> None:
    script = "trap 'exit 5' USR1; echo ready; while :; do sleep 0.02; done"
    client.ok("run", "-d", "--name", "web", "busybox", "sh", "-c", script)
    eventually(lambda: client.ok("logs", "web") == "ready", "it listens")

    client.ok("kill", "-s", "USR1", "web")

    assert client.ok("wait", "web") == "5"


def test_the_list_has_dockers_columns(client: Client) -> None:
    client.ok("run", "-d", "--name", "web", "-l", "a=b", "busybox", "sleep", "1000")

    header, row = client.ok("ps").splitlines()

    assert header.split() == [
        "CONTAINER",
        "ID",
        "IMAGE",
        "COMMAND",
        "CREATED",
        "STATUS",
        "PORTS",
        "NAMES",
    ]
    assert row.split()[1:4] == ["busybox", '"sleep', '1000"']
    assert row.split()[-1] == "web"
    assert "Up " in row


def test_the_list_is_filtered_and_formatted(client: Client) -> None:
    client.ok("run", "-d", "--name", "runs", "-l", "tier=front", "busybox", "sleep", "1000")
    client.ok("create", "--name", "made", "-l", "tier=back", "busybox", "true")
    client("run", "--name", "ended", "busybox", "sh", "-c", "exit 3")

    assert names(client) == ["runs"]
    assert names(client, "-a") == ["ended", "made", "runs"]
    assert names(client, "-n", "2") == ["ended", "made"]
    assert names(client, "-l") == ["ended"]
    assert names(client, "-a", "-f", "label=tier") == ["made", "runs"]
    assert names(client, "-a", "-f", "label=tier=back") == ["made"]
    assert names(client, "-a", "-f", "status=created") == ["made"]
    assert names(client, "-a", "-f", "exited=3") == ["ended"]
    assert names(client, "-a", "-f", "name=^ru") == ["runs"]
    assert names(client, "-a", "-f", "ancestor=busybox", "-f", "status=running") == ["runs"]
    row = json.loads(client.ok("ps", "--format", "{{json .}}"))
    assert {row["Names"], row["State"], row["Labels"]} == {"runs", "running", "tier=front"}
    table = client.ok("ps", "-a", "--format", 'table {{.Names}}\t{{.Label "tier"}}').splitlines()
    assert [line.split() for line in table] == [
        ["NAMES", "tier"],
        ["ended"],
        ["made", "back"],
        ["runs", "front"],
    ]


def test_pruning_takes_what_does_not_run(client: Client) -> None:
    client.ok("run", "-d", "--name", "runs", "busybox", "sleep", "1000")
    made = client.ok("create", "--name", "made", "busybox", "true")

    out = client.ok("container", "prune", "-f")

    assert out.splitlines()[:2] == ["Deleted Containers:", made]
    assert names(client, "-a") == ["runs"]


def test_processes_are_shown_as_ps_shows_them(client: Client) -> None:
    client.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")

    header, row = client.ok("top", "web").splitlines()

    assert header.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert row.endswith("sleep 1000")
    header, row = client.ok("top", "web", "-o", "comm,pid").splitlines()
    assert (header.split(), row.split()[0]) == (["COMMAND", "PID"], "sleep")


def test_execs_are_run_as_requested(client: Client) -> None:
    client.ok("run", "-d", "--name", "web", "-e", "A=1", "busybox", "sleep", "1000")

    out = client.ok(
        *("exec", "-e", "B=2", "-w", "/tmp", "-u", "1000", "web"),
        *("sh", "-c", "echo $A $B $(pwd) $(id -u)"),
    )

    assert out == "1 2 /tmp 1000"
    assert client.ok("exec", "--privileged", "web", "grep", "CapEff", "/proc/self/status") != (
        client.ok("exec", "web", "grep", "CapEff", "/proc/self/status")
    )


def test_an_exec_in_the_background_runs_on(client: Client) -> None:
    client.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")

    done = client("exec", "-d", "web", "sh", "-c", "echo done > /done")

    assert done.code == 0
    eventually(lambda: client("exec", "web", "cat", "/done").out == "done\n", "it has run")


def test_a_missing_container_is_reported_by_every_verb(client: Client) -> None:
    for verb in (
        "start",
        "stop",
        "kill",
        "restart",
        "pause",
        "unpause",
        "wait",
        "rm",
        "logs",
        "top",
        "port",
        "attach",
    ):
        done = client(verb, "nosuch")
        assert (done.code, "No such container: nosuch" in done.err) == (1, True), (verb, done)


@pytest.mark.parametrize("template", ["{{.Nope}}", "{{", "{{nope .}}"])
def test_a_template_that_is_wrong_is_refused(template: str, client: Client) -> None:
    client.ok("create", "--name", "web", "busybox", "true")

    done = client("inspect", "-f", template, "web")

    assert done.code != 0
    assert "template parsing error" in done.err


def test_version_and_info_tell_both_sides(client: Client, daemon: DaemonUnderTest) -> None:
    assert client.ok("version", "--format", "{{.Server.Os}} {{.Server.APIVersion}}") == "linux 1.51"
    daemon.api.run("web", "sleep", "1000")
    form = "{{.Containers}} {{.ContainersRunning}} {{.Images}} {{.Driver}} {{.OSType}}"
    assert client.ok("info", "--format", form) == "1 1 1 overlay2 linux"
    assert "Server" in client.ok("info")


def test_a_killed_daemon_loses_nothing_that_a_client_knows(
    client: Client, daemon: DaemonUnderTest
) -> None:
    """The same command sees the same before and after."""
    script = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done"
    client.ok("run", "-d", "--name", "web", "busybox", "sh", "-c", script)
    client("run", "--name", "ended", "busybox", "sh", "-c", "exit 3")
    form = "{{.Id}} {{.State.Pid}} {{.State.StartedAt}} {{.State.ExitCode}} {{.NetworkSettings.IPAddress}}"
    before = client.ok("inspect", "-f", form, "web", "ended")

    daemon.restart()

    eventually(
        lambda: client.ok("inspect", "-f", form, "web", "ended") == before,
        "the same",
        catch=Refused,
    )
    lines = [int(line) for line in client.ok("logs", "web").split()]
    assert lines == list(range(1, len(lines) + 1))


def test_an_attached_client_of_ours_survives_the_daemon(
    daemon: DaemonUnderTest, shipslog: Client
) -> None:
    assert shipslog.name == SHIPSLOG
    with shipslog.started("run", "-i", "--name", "web", "busybox", "cat") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"before\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"before\n"

        daemon.restart()

        process.stdin.write(b"after\n")
        process.stdin.close()
        assert process.stdout.readline() == b"after\n"
        assert process.wait(20) == 0
