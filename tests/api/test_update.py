"""Test ``update``: other limits and another restart policy, with both commands, and the kernel's
values afterwards.
"""

from typing import Any

import pytest

from tests.api.clients import Client
from tests.harness import kernel_inventory
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

MIB = 1 << 20


def limit(daemon: DaemonUnderTest, controller: str, container: str, file: str) -> str:
    (place,) = [
        where
        for name, where in kernel_inventory.hierarchies().items()
        if controller in name.split(",")
    ]
    return (place / f"shipslog-{daemon.tag}" / container / file).read_text().strip()


def update(daemon: DaemonUnderTest, reference: str, **wanted: Any) -> tuple[int, str]:
    reply = daemon.api.request("POST", f"/containers/{reference}/update", wanted)
    return reply.status, "" if reply.status == 200 else reply.message


@pytest.mark.cgroup_v1
def test_limits_of_what_runs_are_the_kernels_at_once(
    client: Client, daemon: DaemonUnderTest
) -> None:
    identity = daemon.api.run("web", "sleep", "1000", HostConfig={"Memory": 64 * MIB})

    for memory in ("256m", "32m"):
        client.ok("update", "-m", memory, "--memory-swap", "300m", "web")
    said = client.ok("update", "-c", "200", "--cpus", "0.5", "--pids-limit", "9", "web")

    assert said == "web"
    assert limit(daemon, "memory", identity, "memory.limit_in_bytes") == str(32 * MIB)
    assert limit(daemon, "memory", identity, "memory.memsw.limit_in_bytes") == str(300 * MIB)
    assert limit(daemon, "cpu", identity, "cpu.shares") == "200"
    assert limit(daemon, "cpu", identity, "cpu.cfs_quota_us") == "50000"
    assert limit(daemon, "pids", identity, "pids.max") == "9"
    inspected = daemon.api.inspect("web")["HostConfig"]
    assert (inspected["Memory"], inspected["MemorySwap"]) == (32 * MIB, 300 * MIB)
    assert (inspected["NanoCpus"], inspected["PidsLimit"]) == (500_000_000, 9)


@pytest.mark.cgroup_v1
def test_what_is_paused_or_stopped_is_updated_too(daemon: DaemonUnderTest) -> None:
    identity = daemon.api.run("web", "sleep", "1000")
    daemon.api.post("/containers/web/pause")
    assert update(daemon, "web", CpuShares=300) == (200, "")
    assert limit(daemon, "cpu", identity, "cpu.shares") == "300"
    daemon.api.post("/containers/web/unpause")
    daemon.api.stop("web", 0)

    assert update(daemon, "web", CpuShares=400) == (200, "")

    daemon.api.start("web")
    assert limit(daemon, "cpu", identity, "cpu.shares") == "400"


@pytest.mark.cgroup_v1
def test_what_the_kernel_refuses_is_reported_and_changes_nothing(daemon: DaemonUnderTest) -> None:
    """Real-time budgets are given from above, where this engine has none."""
    identity = daemon.api.run("web", "sleep", "1000", HostConfig={"CpuShares": 100})

    status, message = update(daemon, "web", CpuShares=700, CpuRealtimeRuntime=1000)

    assert status == 409
    assert message.startswith(f'Cannot update container {identity}: failed to write "1000": write ')
    assert limit(daemon, "cpu", identity, "cpu.shares") == "100"
    inspected = daemon.api.inspect("web")["HostConfig"]
    assert (inspected["CpuShares"], inspected["CpuRealtimeRuntime"]) == (100, 0)


def test_a_restart_policy_comes_and_goes(client: Client, daemon: DaemonUnderTest) -> None:
    daemon.api.create("web", "true")

    client.ok("update", "--restart", "on-failure:3", "web")

    policy = daemon.api.inspect("web")["HostConfig"]["RestartPolicy"]
    assert policy == {"Name": "on-failure", "MaximumRetryCount": 3}


def test_what_removes_itself_gets_no_restart_policy(
    client: Client, daemon: DaemonUnderTest
) -> None:
    identity = daemon.api.create("web", "true", HostConfig={"AutoRemove": True})

    done = client("update", "--restart", "always", "web")

    assert done.code == 1
    assert (
        f"Cannot update container {identity}: Restart policy cannot be updated because AutoRemove"
        " is enabled for the container"
    ) in done.err


@pytest.mark.parametrize(
    ("wanted", "status", "words"),
    [
        ({"Memory": 1}, 400, "Minimum memory limit allowed is 6MB"),
        ({"Memory": 64 * MIB}, 409, "Memory limit should be smaller than already set memoryswap"),
        ({"CpusetCpus": "999"}, 400, "Requested CPUs are not available"),
        ({"RestartPolicy": {"Name": "maybe"}}, 400, "unknown policy 'maybe'"),
        ({"CpuShares": "many"}, 400, "cannot unmarshal string"),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(
    wanted: dict[str, Any], status: int, words: str, daemon: DaemonUnderTest
) -> None:
    daemon.api.create("web", "true")
    before = daemon.api.inspect("web")

    found, message = update(daemon, "web", **wanted)

    assert (found, words in message) == (status, True), message
    assert daemon.api.inspect("web") == before


def test_limits_that_can_not_be_changed_later_are_warned_about(daemon: DaemonUnderTest) -> None:
    daemon.api.create("web", "true")

    reply = daemon.api.post("/containers/web/update", {"MemorySwappiness": 30, "CpuPercent": 5})

    assert reply.json["Warnings"] == [
        "linux does not support CPU percent. Percent discarded.",
        "MemorySwappiness cannot be updated. MemorySwappiness discarded.",
    ]
    assert daemon.api.request("POST", "/containers/nobody/update", {}).status == 404


def test_an_update_is_in_the_history(client: Client, daemon: DaemonUnderTest) -> None:
    daemon.api.create("web", "true")
    client.ok("update", "-c", "300", "web")

    def events() -> list[str]:
        return client.ok(
            *("events", "--since", "0", "--until", "0s", "--filter", "event=update"),
            *("--filter", "container=web", "--format", "{{.Action}} {{.Actor.Attributes.name}}"),
        ).splitlines()

    # a client's ``--until`` is a whole second: events of this one come with the next
    assert eventually(events, "the update is reported")[-1] == "update web"
