"""Test health checks as users request them and as their tools wait for them, with both commands."""

import json
import os
import signal
from pathlib import Path
from typing import Any, Final

import pytest

from engine.cli.builtin_image import busybox_tar
from tests.api.clients import Client
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

QUICK: Final = ("--health-interval", "100ms", "--health-retries", "2")
MS_NS: Final = 1_000_000


def health(client: Client, container: str) -> Any:
    return json.loads(client.ok("inspect", "-f", "{{json .State}}", container)).get("Health")


def becomes(client: Client, container: str, status: str) -> Any:
    """Wait for a status; return the health then."""
    return eventually(
        lambda: (found := health(client, container))["Status"] == status and found,
        f"{container} is {status}",
    )


def checked(client: Client, name: str, command: str, *options: str) -> str:
    """Run a container with a check."""
    words = ("run", "-d", "--name", name, *QUICK, "--health-cmd", command, *options)
    return client.ok(*words, "busybox", "sleep", "1000")


def listed(client: Client, *filters: str) -> list[str]:
    words = [word for each in filters for word in ("--filter", each)]
    return client.ok("ps", "-a", *words, "--format", "{{.Names}}").split()


def processes_of(daemon: DaemonUnderTest, container: str) -> int:
    """Return how many processes a container has, its first included."""
    return len(daemon.inventory().processes[daemon.api.inspect(container)["Id"]])


def test_a_container_becomes_healthy_and_every_view_of_it_says_so(client: Client) -> None:
    identity = checked(client, "web", "echo fine")
    client.ok("run", "-d", "--name", "plain", "busybox", "sleep", "1000")
    assert health(client, "plain") is None

    found = becomes(client, "web", "healthy")

    assert found["FailingStreak"] == 0
    first = found["Log"][0]
    assert (first["ExitCode"], first["Output"]) == (0, "fine\n")
    assert first["Start"] < first["End"]
    up = client.ok("ps", "--filter", "name=web", "--format", "{{.Status}}")
    assert up.startswith("Up ")
    assert up.endswith(" (healthy)")
    assert listed(client, "health=healthy") == ["web"]
    assert listed(client, "health=none") == ["plain"]
    assert client.ok("inspect", "-f", "{{.State.Health.Status}}", identity) == "healthy"


def test_it_starts_as_starting(client: Client) -> None:
    client.ok("run", "-d", "--name", "web", "--health-cmd", "true", "busybox", "sleep", "1000")

    assert health(client, "web") == {"Status": "starting", "FailingStreak": 0, "Log": []}
    assert client.ok("ps", "--format", "{{.Status}}").endswith(" (health: starting)")
    assert listed(client, "health=starting") == ["web"]


def test_failures_in_a_row_make_it_unhealthy_and_one_success_makes_it_well(client: Client) -> None:
    checked(client, "web", "test -e /tmp/ok || { echo no such file; exit 3; }")

    ill = becomes(client, "web", "unhealthy")

    assert ill["FailingStreak"] >= 2
    assert {(each["ExitCode"], each["Output"]) for each in ill["Log"]} == {(3, "no such file\n")}
    assert listed(client, "health=unhealthy") == ["web"]
    client.ok("exec", "web", "touch", "/tmp/ok")
    assert becomes(client, "web", "healthy")["FailingStreak"] == 0


def events_of(client: Client, *containers: str) -> list[str]:
    """Return the events of containers that have been removed; a client's ``--until`` is a whole
    second.
    """
    filters = [word for each in containers for word in ("--filter", f"container={each}")]
    words = ("events", "--since", "10m", "--until", "0s", *filters, "--format", "{{.Action}}")

    def all_events() -> list[str]:
        found = client.ok(*words).split("\n")
        return found if found.count("destroy") == len(containers) else []

    return eventually(all_events, "all events are sent, to the last one")


def test_changes_are_events_and_single_probes_are_not(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    checked(docker, "probed", "true")
    eventually(lambda: len(health(docker, "probed")["Log"]) == 5, "five probes")
    docker.ok("rm", "-f", "probed")

    events = events_of(docker, "probed")

    assert events.count("health_status: healthy") == 1
    assert not [each for each in events if each.startswith("exec")]


def test_a_probe_that_takes_too_long_is_killed_with_all_that_it_started(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    checked(docker, "mule", "echo patience; sleep 1000 & sleep 1000", "--health-timeout", "150ms")

    ill = becomes(docker, "mule", "unhealthy")

    text = "Health check exceeded timeout (150ms): patience\n"
    assert (ill["Log"][0]["ExitCode"], ill["Log"][0]["Output"]) == (-1, text)
    docker.ok("pause", "mule")
    docker.ok("unpause", "mule")
    eventually(lambda: processes_of(daemon, "mule") == 1, "nothing is left of the probes")


def test_a_command_that_is_not_there_is_a_failure(docker: Client, daemon: DaemonUnderTest) -> None:
    check = {"Test": ["CMD", "nope", "x y"], "Interval": 100 * MS_NS, "Retries": 1}
    daemon.api.run("web", "sleep", "1000", Healthcheck=check)

    ill = becomes(docker, "web", "unhealthy")

    assert ill["Log"][0]["ExitCode"] == -1
    assert ill["Log"][0]["Output"] == (
        "OCI runtime exec failed: exec failed: unable to start container process: "
        'exec: "nope": executable file not found in $PATH: unknown'
    )


def test_of_much_output_four_kilobytes_are_shown(docker: Client, daemon: DaemonUnderTest) -> None:
    checked(docker, "web", r"printf '\377'; yes | head -c 100000")

    found = becomes(docker, "web", "healthy")

    assert found["Log"][0]["Output"] == "\ufffd" + ("y\n" * 2048)[:4095] + "..."


def test_nothing_is_asked_while_it_is_paused_or_has_ended(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    checked(docker, "web", "echo x >> /tmp/asked")
    becomes(docker, "web", "healthy")

    docker.ok("pause", "web")

    known = health(docker, "web")
    assert known["Status"] == "unhealthy", "as Docker has it: no probe runs any more"
    assert docker.ok("ps", "--format", "{{.Status}}").endswith(" (Paused)")
    docker.ok("unpause", "web")
    becomes(docker, "web", "healthy")
    docker.ok("kill", "web")
    assert health(docker, "web")["Status"] == "unhealthy"
    docker.ok("start", "web")
    anew = health(docker, "web")
    assert (anew["Status"], anew["FailingStreak"]) == ("starting", 0)
    assert anew["Log"], "the answers of the run before"
    becomes(docker, "web", "healthy")


def test_the_daemon_is_killed_and_the_status_is_there_at_once(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    checked(docker, "web", "test ! -e /tmp/ill; ")
    becomes(docker, "web", "healthy")
    checked(docker, "slow", "test -e /tmp/asked && exit; touch /tmp/asked; sleep 1000")
    eventually(lambda: processes_of(daemon, "slow") > 1, "it is being asked")

    daemon.restart()

    assert health(docker, "web")["Status"] == "healthy"
    assert [each["ExitCode"] for each in health(docker, "web")["Log"][:1]] == [0]
    eventually(lambda: processes_of(daemon, "slow") == 1, "the probe has ended with the daemon")
    becomes(docker, "slow", "healthy")
    docker.ok("exec", "web", "touch", "/tmp/ill")
    becomes(docker, "web", "unhealthy")


def test_the_end_of_a_container_is_no_failure_of_its_check(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    names = [f"ending{number}" for number in range(5)]
    for name in names:
        checked(docker, name, "sleep 1000", "--health-retries", "1")
        eventually(lambda name=name: processes_of(daemon, name) > 1, "it is being asked")  # type: ignore[misc]  # bound now
        docker.ok("rm", "-f", name)

    assert not [each for each in events_of(docker, *names) if each.startswith("health")]


def test_failures_of_the_start_period_are_ignored(docker: Client, daemon: DaemonUnderTest) -> None:
    check = {
        "Test": ["CMD-SHELL", "test -e /tmp/ok"],
        "Interval": 3600_000 * MS_NS,
        "StartPeriod": 3600_000 * MS_NS,
        "StartInterval": 50 * MS_NS,
        "Retries": 1,
    }
    daemon.api.run("web", "sleep", "1000", Healthcheck=check)
    eventually(lambda: len(health(docker, "web")["Log"]) == 5, "it has failed five times")
    assert (health(docker, "web")["Status"], health(docker, "web")["FailingStreak"]) == (
        "starting",
        0,
    )

    docker.ok("exec", "web", "touch", "/tmp/ok")

    becomes(docker, "web", "healthy")
    assert daemon.api.inspect("web")["Config"]["Healthcheck"] == check


def image_with_check(client: Client, directory: Path) -> None:
    """Import the image ``checked``, whose check fails."""
    path = directory / "image.tar"
    path.write_bytes(busybox_tar())
    instruction = "HEALTHCHECK --interval=100ms --retries=1 CMD echo image; exit 1"
    client.ok("import", "-c", instruction, str(path), "checked")


def test_an_image_s_check_holds_unless_another_is_given(client: Client, tmp_path: Path) -> None:
    image_with_check(client, tmp_path)
    command = ("checked", "sleep", "1000")
    client.ok("run", "-d", "--name", "as-it-is", *command)
    client.ok("run", "-d", "--name", "other", "--health-cmd", "true", *command)
    client.ok("run", "-d", "--name", "none", "--no-healthcheck", *command)

    assert becomes(client, "as-it-is", "unhealthy")["Log"][0]["Output"] == "image\n"
    assert becomes(client, "other", "healthy"), "with the image's interval"
    assert health(client, "none") is None
    tests = "{{json .Config.Healthcheck.Test}}"
    assert client.ok("inspect", "-f", tests, "none") == '["NONE"]'
    assert client.ok("inspect", "-f", tests, "other") == '["CMD-SHELL","true"]'


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({"Test": ["CMD", "x"], "Interval": 5}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"Test": ["CMD", "x"], "Retries": -1}, "Retries in Healthcheck cannot be negative"),
    ],
)
def test_bad_checks_are_refused(daemon: DaemonUnderTest, check: Any, words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        daemon.api.create("web", "true", Healthcheck=check)

    assert refused.value.status == 400
    assert daemon.api.ps() == []


def test_a_stuck_monitor_delays_only_its_own_check(docker: Client, daemon: DaemonUnderTest) -> None:
    stuck = checked(docker, "stuck", "true", "--health-timeout", "200ms")
    becomes(docker, "stuck", "healthy")
    monitor = daemon.monitor_pid(stuck)

    os.kill(monitor, signal.SIGSTOP)
    try:
        checked(docker, "web", "true")
        becomes(docker, "web", "healthy")
    finally:
        os.kill(monitor, signal.SIGCONT)

    docker.ok("rm", "-f", "stuck")
