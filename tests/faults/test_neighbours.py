"""Test several daemons on one machine, and how one of them comes and goes."""

import subprocess
from pathlib import Path

import pytest

from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.daemon import READY_S, DaemonUnderTest
from tests.harness.kernel_inventory import links


def test_a_second_daemon_on_the_same_data_root_is_refused_and_names_the_first(
    program: DaemonUnderTest, place: Path
) -> None:
    command = program.command()
    command[command.index(f"unix://{program.api.socket_path}")] = f"unix://{place}/second.sock"

    second = subprocess.run(command, capture_output=True, text=True, timeout=READY_S, check=False)

    assert second.returncode == 1
    assert second.stderr.strip() == (
        f"shipslogd: another daemon (pid {program.pid}) already serves {program.data_root}"
    )
    assert program.answers


def test_a_lock_does_not_outlive_the_daemon_that_held_it(daemon: DaemonUnderTest) -> None:
    daemon.kill()

    daemon.start()

    assert daemon.answers


def test_daemons_side_by_side_neither_see_nor_take_each_others_objects(
    daemon: DaemonUnderTest, place: Path
) -> None:
    with DaemonUnderTest(place / "other") as other:
        other.start().import_busybox()
        ours = daemon.api.run("same", *STOPS_AT_ONCE)
        theirs = other.api.run("same", *STOPS_AT_ONCE)

        daemon.restart()
        daemon.assert_settled()
        other.assert_settled()

        assert [each["Id"] for each in daemon.api.ps()] == [ours]
        assert [each["Id"] for each in other.api.ps()] == [theirs]
        assert other.api.request("GET", f"/containers/{ours}/json").status == 404
        assert {daemon.bridge, other.bridge} <= links()
        assert daemon.instance != other.instance
        daemon.api.remove(ours)
        daemon.assert_nothing_leaked()
        other.assert_settled()
        assert other.api.status(theirs) == "running"


def test_two_daemons_choose_different_subnets(daemon: DaemonUnderTest, place: Path) -> None:
    with DaemonUnderTest(place / "other") as other:
        other.start()

        subnets = [each.api.get("/networks/bridge")["IPAM"]["Config"] for each in (daemon, other)]

        assert subnets[0] != subnets[1]


def test_sigterm_ends_the_daemon_and_leaves_the_containers_running(
    program: DaemonUnderTest,
) -> None:
    identity = program.api.run("stays", *STOPS_AT_ONCE)
    before = program.api.inspect(identity)["State"]

    assert program.terminate() == 0

    assert before["Pid"] in program.inventory().processes[identity]
    assert not program.api.socket_path.exists()
    after = program.start().api.inspect(identity)["State"]
    assert (after["Status"], after["Pid"], after["StartedAt"]) == (
        "running",
        before["Pid"],
        before["StartedAt"],
    )
    types = [event["type"] for event in program.api.history(type="daemon_stopped")]
    assert types == ["daemon_stopped"]


@pytest.mark.parametrize("signal", ["TERM", "KILL"])
def test_nothing_is_left_when_all_containers_are_removed(
    daemon: DaemonUnderTest, signal: str
) -> None:
    for number in range(3):
        daemon.api.run(f"short-{number}", *STOPS_AT_ONCE)
    for number in range(3):
        daemon.api.remove(f"short-{number}")
    if signal == "KILL":
        daemon.restart()

    daemon.assert_nothing_leaked()
