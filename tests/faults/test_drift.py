"""What somebody changes by hand is noticed within a second or two, repaired where that is possible, and told."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from engine.domain import naming
from engine.domain.ids import SandboxId
from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness import census
from tests.harness.client import Json
from tests.harness.conditions import eventually, wait_until_gone
from tests.harness.daemon import DaemonUnderTest

NOTICED_S: Final = 3.0
"""Two seconds, and what a busy machine adds."""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def nft(*arguments: str) -> None:
    subprocess.run(["nft", *arguments], check=True)


def types_of(events: list[Json], kind: str) -> list[str]:
    return [event["data"]["what"] for event in events if event["type"] == kind]


def is_repaired(daemon: DaemonUnderTest, container: str, what: str) -> bool:
    events = daemon.api.history(container)
    return types_of(events, "container_drift_detected") == [what] and types_of(
        events, "container_drift_repaired"
    ) == [what]


def network_is_repaired(daemon: DaemonUnderTest, what: str) -> bool:
    drifted = daemon.api.history(type="network_drift_detected")
    repaired = daemon.api.history(type="network_drift_repaired")
    return what in types_of(drifted, "network_drift_detected") and len(drifted) == len(repaired)


def veth_of(daemon: DaemonUnderTest, container: str) -> str:
    return naming.host_veth(daemon.instance, sandbox_of(daemon, container))


def sandbox_of(daemon: DaemonUnderTest, container: str) -> SandboxId:
    return SandboxId(daemon.api.inspect(container)["NetworkSettings"]["SandboxID"])


def address_of(daemon: DaemonUnderTest, container: str) -> str:
    networks = daemon.api.inspect(container)["NetworkSettings"]["Networks"]
    return str(networks["bridge"]["IPAddress"])


def reaches(daemon: DaemonUnderTest, one: str, other: str) -> bool:
    """Whether a packet from one container comes back from another."""
    ping = ("ping", "-c", "1", "-W", "1", address_of(daemon, other))
    return daemon.api.exec_output(one, *ping)[0] == 0


@pytest.fixture
def pair(daemon: DaemonUnderTest) -> tuple[str, str]:
    """Two containers that see each other."""
    one = daemon.api.run("one", *STOPS_AT_ONCE)
    other = daemon.api.run("other", *STOPS_AT_ONCE)
    assert reaches(daemon, one, other)
    return one, other


# --- Processes ----------------------------------------------------------------------------------------------------------


def test_a_killed_monitor_is_told_as_the_reason_of_the_end(
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


# --- Control groups -----------------------------------------------------------------------------------------------------


def test_processes_moved_out_of_their_cgroup_come_back(
    daemon: DaemonUnderTest, pair: tuple[str, str]
) -> None:
    memory = census.hierarchies().get("memory") or census.hierarchies()["cgroup"]
    pid = daemon.api.inspect(pair[0])["State"]["Pid"]
    own = memory / f"shipslog-{daemon.tag}" / pair[0] / "cgroup.procs"

    (memory / "cgroup.procs").write_text(str(pid))

    eventually(lambda: str(pid) in own.read_text().split(), "moved back", within_s=NOTICED_S)
    eventually(lambda: is_repaired(daemon, pair[0], "cgroup"), "told", within_s=NOTICED_S)
    daemon.assert_settled()


def test_a_removed_cgroup_is_made_again(daemon: DaemonUnderTest, pair: tuple[str, str]) -> None:
    pids = daemon.census().processes[pair[0]]
    for cgroup in daemon.cgroup(pair[0]):
        for pid in pids:
            (cgroup.parent.parent / "cgroup.procs").write_text(str(pid))
        eventually(partial(_removed, cgroup), "removed by hand", catch=OSError)

    eventually(lambda: is_repaired(daemon, pair[0], "cgroup"), "repaired", within_s=NOTICED_S)
    assert daemon.api.inspect(pair[0])["State"]["Pid"] in daemon.census().processes[pair[0]]
    daemon.assert_settled()


def _removed(cgroup: Path) -> bool:
    if cgroup.is_dir():  # the daemon may have made it again already
        cgroup.rmdir()
    return True


# --- Network ------------------------------------------------------------------------------------------------------------


def delete_veth(daemon: DaemonUnderTest, container: str) -> None:
    ip("link", "delete", veth_of(daemon, container))


def set_veth_down(daemon: DaemonUnderTest, container: str) -> None:
    ip("link", "set", veth_of(daemon, container), "down")


def unplug_veth(daemon: DaemonUnderTest, container: str) -> None:
    ip("link", "set", veth_of(daemon, container), "nomaster")


def unmount_pin(daemon: DaemonUnderTest, container: str) -> None:
    pin = naming.sandbox_path(daemon.exec_root, sandbox_of(daemon, container))
    subprocess.run(["umount", pin], check=True)


def unmount_and_delete_pin(daemon: DaemonUnderTest, container: str) -> None:
    pin = naming.sandbox_path(daemon.exec_root, sandbox_of(daemon, container))
    subprocess.run(["umount", pin], check=True)
    pin.unlink()


@pytest.mark.parametrize(
    "damage", [delete_veth, set_veth_down, unplug_veth, unmount_pin, unmount_and_delete_pin]
)
def test_a_damaged_sandbox_is_repaired(
    daemon: DaemonUnderTest,
    pair: tuple[str, str],
    damage: Callable[[DaemonUnderTest, str], None],
) -> None:
    damage(daemon, pair[0])

    eventually(lambda: is_repaired(daemon, pair[0], "sandbox"), "repaired", within_s=NOTICED_S)
    assert reaches(daemon, pair[1], pair[0])
    daemon.assert_settled()


def test_damage_done_while_the_daemon_was_down_is_repaired_at_its_start(
    daemon: DaemonUnderTest, pair: tuple[str, str]
) -> None:
    veth = veth_of(daemon, pair[0])
    daemon.kill()
    ip("link", "delete", veth)
    nft("delete", "table", "inet", naming.firewall_table(daemon.instance))

    daemon.start()

    eventually(lambda: is_repaired(daemon, pair[0], "sandbox"), "repaired", within_s=NOTICED_S)
    assert reaches(daemon, pair[1], pair[0])
    daemon.assert_settled()


def delete_bridge(daemon: DaemonUnderTest) -> None:
    ip("link", "delete", daemon.bridge)


def remove_bridge_address(daemon: DaemonUnderTest) -> None:
    ip("address", "flush", "dev", daemon.bridge)


def set_bridge_down(daemon: DaemonUnderTest) -> None:
    ip("link", "set", daemon.bridge, "down")


@pytest.mark.parametrize("damage", [delete_bridge, remove_bridge_address, set_bridge_down])
def test_a_damaged_bridge_is_repaired(
    daemon: DaemonUnderTest,
    pair: tuple[str, str],
    damage: Callable[[DaemonUnderTest], None],
) -> None:
    damage(daemon)

    eventually(lambda: network_is_repaired(daemon, "bridge"), "repaired", within_s=NOTICED_S)
    eventually(lambda: reaches(daemon, *pair), "they see each other again", within_s=NOTICED_S)
    gateway = daemon.api.get("/networks/bridge")["IPAM"]["Config"][0]["Gateway"]
    assert daemon.api.exec_output(pair[0], "ping", "-c", "1", "-W", "1", gateway)[0] == 0
    daemon.assert_settled()


def ruleset(daemon: DaemonUnderTest) -> list[Json]:
    """The instance's table without what the kernel numbers anew."""
    table = naming.firewall_table(daemon.instance)
    listed = subprocess.run(
        ["nft", "--json", "--stateless", "list", "table", "inet", table],
        check=False,
        capture_output=True,
        text=True,
    )
    entries = json.loads(listed.stdout or "{}").get("nftables", [])
    return [_without_handles(entry) for entry in entries if "metainfo" not in entry]


def _without_handles(entry: Json) -> Json:
    return {kind: {k: v for k, v in what.items() if k != "handle"} for kind, what in entry.items()}


def flush_ruleset(daemon: DaemonUnderTest) -> None:
    nft("flush", "ruleset")


def flush_table(daemon: DaemonUnderTest) -> None:
    nft("flush", "table", "inet", naming.firewall_table(daemon.instance))


def delete_table(daemon: DaemonUnderTest) -> None:
    nft("delete", "table", "inet", naming.firewall_table(daemon.instance))


@pytest.mark.parametrize("damage", [flush_ruleset, flush_table, delete_table])
def test_the_firewall_is_equal_again_after_somebody_was_at_it(
    daemon: DaemonUnderTest, damage: Callable[[DaemonUnderTest], None]
) -> None:
    """casebook 24."""
    web = daemon.api.run(
        "web",
        *("sh", "-c", "echo served > /index.html; exec httpd -f -p 80 -h /"),
        HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}},
        ExposedPorts={"80/tcp": {}},
    )
    eventually(lambda: fetch(8080) == b"served\n", "the published port works", catch=OSError)
    before = ruleset(daemon)

    damage(daemon)

    eventually(lambda: ruleset(daemon) == before, "equal again", within_s=NOTICED_S)
    eventually(lambda: network_is_repaired(daemon, "firewall"), "told", within_s=NOTICED_S)
    eventually(lambda: fetch(8080) == b"served\n", "the port works again", catch=OSError)
    daemon.api.remove(web)
    assert str(8080) not in json.dumps(ruleset(daemon))


def fetch(port: int) -> bytes:
    """What the container answers on a published port of the host."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
        answer = b""
        while block := connection.recv(4096):
            answer += block
    return answer.partition(b"\r\n\r\n")[2]


# --- Strangers ----------------------------------------------------------------------------------------------------------


def orphans(daemon: DaemonUnderTest, fate: str) -> dict[str, str]:
    """Kinds of the orphans that were ``removed`` or ``found`` and kept, and the reasons."""
    events = daemon.api.history(type=f"host_orphan_{fate}")
    return {event["data"]["kind"]: event["data"].get("reason", "") for event in events}


def test_leftovers_without_life_or_data_are_removed_and_told(daemon: DaemonUnderTest) -> None:
    stranger = "f" * 64
    for place in census.hierarchies().values():
        parent = place / f"shipslog-{daemon.tag}"
        parent.mkdir(exist_ok=True)
        (parent / stranger).mkdir()
    (daemon.exec_root / "bundles" / stranger).mkdir(parents=True)

    eventually(lambda: orphans(daemon, "removed").keys() == {"bundle", "cgroup"}, "told")
    daemon.assert_settled()


def test_a_directory_that_nobody_knows_is_told_and_kept(daemon: DaemonUnderTest) -> None:
    file = daemon.data_root / "containers" / ("d" * 64) / "upper" / "thesis.txt"
    file.parent.mkdir(parents=True)
    file.write_text("three years of work")

    eventually(lambda: "directory" in orphans(daemon, "found"), "told")

    assert file.exists()


def test_a_process_that_nobody_knows_is_told_and_not_killed(daemon: DaemonUnderTest) -> None:
    """casebook 11: it may be all that is left of somebody's work."""
    stranger = "e" * 64
    process = subprocess.Popen(["sleep", "1000"])
    try:
        parent = census.hierarchies()["pids"] / f"shipslog-{daemon.tag}"
        parent.mkdir(exist_ok=True)
        (parent / stranger).mkdir()
        (parent / stranger / "cgroup.procs").write_text(str(process.pid))

        eventually(lambda: str(process.pid) in orphans(daemon, "found").get("cgroup", ""), "told")

        assert process.poll() is None
        assert daemon.answers
    finally:
        process.kill()
        process.wait()


def test_a_database_from_before_the_container_does_not_end_it(
    daemon: DaemonUnderTest, place: Path
) -> None:
    """Somebody restores a backup of the log: what it does not know runs on, and is told."""
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

    eventually(lambda: str(init) in orphans(daemon, "found").get("cgroup", ""), "told")
    found = daemon.census()
    assert init in found.processes[identity]
    assert identity in found.monitors
    assert identity in found.bundles
