"""Test that changes by hand are found within two seconds, repaired where possible, and recorded."""

import os
import shutil
import signal
import sqlite3
import subprocess
from functools import partial
from pathlib import Path

import pytest

from engine.domain import naming
from engine.domain.ids import ContainerId
from engine.drivers.storage.rootfs import FILES
from tests.faults.conftest import STOPS_AT_ONCE
from tests.faults.repairs import NOTICED_S, is_repaired
from tests.harness import kernel_inventory
from tests.harness.conditions import eventually, wait_until_gone
from tests.harness.daemon import DaemonUnderTest

# --- Processes ---


def test_a_killed_monitor_is_reported_as_the_reason_of_the_end(
    daemon: DaemonUnderTest, pair: tuple[str, str]
) -> None:
    one, other = pair
    init = daemon.api.inspect(one)["State"]["Pid"]

    os.kill(daemon.monitor_pid(one), signal.SIGKILL)

    eventually(lambda: daemon.api.status(one) == "exited", "noticed", within_s=NOTICED_S)
    (exited,) = daemon.api.history(one, type="container_exited")
    assert exited["data"]["reason"] == "monitor lost"
    wait_until_gone(init)
    assert daemon.api.status(other) == "running"
    daemon.assert_settled()


def test_a_killed_launcher_is_replaced_and_nobody_waits_for_it(daemon: DaemonUnderTest) -> None:
    before = daemon.launcher_pid()

    os.kill(before, signal.SIGKILL)

    identity = daemon.api.run("next", *STOPS_AT_ONCE)
    assert daemon.api.status(identity) == "running"
    assert daemon.launcher_pid() != before


def test_containers_outlive_the_launcher_that_started_them(
    daemon: DaemonUnderTest, pair: tuple[str, str]
) -> None:
    os.kill(daemon.launcher_pid(), signal.SIGKILL)

    assert daemon.api.exec_output(pair[0], "echo", "here") == (0, b"here\n")
    daemon.assert_settled()


def test_a_process_killed_from_outside_is_an_exit_like_any_other(
    daemon: DaemonUnderTest, pair: tuple[str, str]
) -> None:
    os.kill(daemon.api.inspect(pair[0])["State"]["Pid"], signal.SIGKILL)

    eventually(lambda: daemon.api.status(pair[0]) == "exited", "noticed", within_s=NOTICED_S)
    (exited,) = daemon.api.history(pair[0], type="container_exited")
    assert (exited["data"]["code"], exited["data"]["signal"]) == (137, 9)


# --- Control groups ---


def test_processes_moved_out_of_their_cgroup_come_back(
    daemon: DaemonUnderTest, pair: tuple[str, str]
) -> None:
    memory = (
        kernel_inventory.hierarchies().get("memory") or kernel_inventory.hierarchies()["cgroup"]
    )
    pid = daemon.api.inspect(pair[0])["State"]["Pid"]
    own = memory / f"shipslog-{daemon.tag}" / pair[0] / "cgroup.procs"

    (memory / "cgroup.procs").write_text(str(pid))

    eventually(lambda: str(pid) in own.read_text().split(), "moved back", within_s=NOTICED_S)
    eventually(lambda: is_repaired(daemon, pair[0], "cgroup"), "it is logged", within_s=NOTICED_S)
    daemon.assert_settled()


def test_a_removed_cgroup_is_made_again(daemon: DaemonUnderTest, pair: tuple[str, str]) -> None:
    pids = daemon.inventory().processes[pair[0]]
    for cgroup in daemon.cgroup(pair[0]):
        for pid in pids:
            (cgroup.parent.parent / "cgroup.procs").write_text(str(pid))
        eventually(partial(_removed, cgroup), "removed by hand", catch=OSError)

    eventually(lambda: is_repaired(daemon, pair[0], "cgroup"), "repaired", within_s=NOTICED_S)
    assert daemon.api.inspect(pair[0])["State"]["Pid"] in daemon.inventory().processes[pair[0]]
    daemon.assert_settled()


def _removed(cgroup: Path) -> bool:
    if cgroup.is_dir():  # the daemon may have made it again already
        cgroup.rmdir()
    return True


# --- Files ---


@pytest.mark.parametrize("name", FILES)
def test_a_deleted_file_of_etc_is_there_again_with_what_was_written_into_it(
    daemon: DaemonUnderTest, pair: tuple[str, str], name: str
) -> None:
    """The container has this very file mounted, not another one of the same name."""
    file = naming.container_directory(daemon.data_root, ContainerId(pair[0])) / name
    line = "10.9.8.7 other.example # mine"
    assert daemon.api.exec_output(pair[0], "sh", "-c", f"echo '{line}' >> /etc/{name}")[0] == 0
    before = file.read_text()

    file.unlink()

    eventually(lambda: is_repaired(daemon, pair[0], "files"), "repaired", within_s=NOTICED_S)
    assert line in before
    assert file.read_text() == before
    file.write_text("seen inside\n")
    assert daemon.api.exec_output(pair[0], "cat", f"/etc/{name}") == (0, b"seen inside\n")


def test_deleted_by_all_its_names_it_is_written_anew(
    daemon: DaemonUnderTest, pair: tuple[str, str]
) -> None:
    directory = naming.container_directory(daemon.data_root, ContainerId(pair[0]))
    before = (directory / "hosts").read_text()

    (directory / ".hosts").unlink()
    (directory / "hosts").unlink()

    eventually(lambda: is_repaired(daemon, pair[0], "files"), "repaired", within_s=NOTICED_S)
    assert (directory / "hosts").read_text() == before
    assert daemon.api.exec_output(pair[0], "cat", "/etc/hosts") == (0, before.encode())


# --- Strangers ---


def orphans(daemon: DaemonUnderTest, fate: str) -> dict[str, str]:
    """Return the kinds of the orphans that were ``removed`` or ``found`` and kept, and the
    reasons.
    """
    events = daemon.api.history(type=f"host_orphan_{fate}")
    return {event["data"]["kind"]: event["data"].get("reason", "") for event in events}


def test_leftovers_without_processes_or_data_are_removed_and_reported(
    daemon: DaemonUnderTest,
) -> None:
    stranger = "f" * 64
    for place in kernel_inventory.hierarchies().values():
        parent = place / f"shipslog-{daemon.tag}"
        parent.mkdir(exist_ok=True)
        (parent / stranger).mkdir()
    (daemon.exec_root / "bundles" / stranger).mkdir(parents=True)

    eventually(lambda: orphans(daemon, "removed").keys() == {"bundle", "cgroup"}, "it is logged")
    daemon.assert_settled()


def test_an_unknown_directory_is_reported_and_kept(daemon: DaemonUnderTest) -> None:
    file = daemon.data_root / "containers" / ("d" * 64) / "upper" / "thesis.txt"
    file.parent.mkdir(parents=True)
    file.write_text("three years of work")

    eventually(lambda: "directory" in orphans(daemon, "found"), "it is logged")

    assert file.exists()


def test_an_unknown_process_is_reported_and_not_killed(daemon: DaemonUnderTest) -> None:
    """casebook 11: it may be all that is left of a user's work."""
    stranger = "e" * 64
    process = subprocess.Popen(["sleep", "1000"])
    try:
        parent = kernel_inventory.hierarchies()["pids"] / f"shipslog-{daemon.tag}"
        parent.mkdir(exist_ok=True)
        (parent / stranger).mkdir()
        (parent / stranger / "cgroup.procs").write_text(str(process.pid))

        eventually(
            lambda: str(process.pid) in orphans(daemon, "found").get("cgroup", ""), "it is logged"
        )

        assert process.poll() is None
        assert daemon.answers
    finally:
        process.kill()
        process.wait()


def test_a_database_from_before_the_container_does_not_end_it(
    daemon: DaemonUnderTest, place: Path
) -> None:
    """A restored backup of the log: a container that it does not have keeps running, and is
    reported.
    """
    backup = place / "backup.db"
    database = naming.database(daemon.data_root)
    with sqlite3.connect(database) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    identity = daemon.api.run("unknown", *STOPS_AT_ONCE)
    init = daemon.api.inspect(identity)["State"]["Pid"]
    daemon.kill()
    for each in database.parent.glob("shipslog.db*"):
        each.unlink()
    shutil.copy(backup, database)

    daemon.start()

    eventually(lambda: str(init) in orphans(daemon, "found").get("cgroup", ""), "it is logged")
    found = daemon.inventory()
    assert init in found.processes[identity]
    assert identity in found.monitors
    assert identity in found.bundles
