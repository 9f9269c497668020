"""Test devices, rates and cgroups of ``run``, seen from inside the container and outside."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.clients import Client
from tests.harness import kernel_inventory
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

PARENT = f"shipslog-test-asked-{os.getpid()}"


@pytest.fixture
def parents() -> Iterator[list[Path]]:
    """Return where a parent of this name is made, which the engine leaves to the user who named
    it.
    """
    places = [root / PARENT / "below" for root in kernel_inventory.hierarchies().values()]
    yield places
    for place in places:
        for directory in (place, place.parent):
            if directory.exists():
                directory.rmdir()


@pytest.mark.parametrize(("access", "expected"), [("w", "c written"), ("r", "c refused")])
def test_a_device_is_where_and_what_it_was_asked_for(
    access: str, expected: str, client: Client
) -> None:
    """Made at another path, and opened only as permitted."""
    script = "ls -l /dev/own/log | cut -c1; (: > /dev/own/log) 2>/dev/null && echo written || echo refused"
    device = f"/dev/kmsg:/dev/own/log:{access}"

    out = client.ok("run", "--rm", "--device", device, "busybox", "sh", "-c", script)

    assert out.split() == expected.split()


def test_a_device_in_a_privileged_container_may_have_another_path(client: Client) -> None:
    out = client.ok(
        *("run", "--rm", "--privileged", "--device", "/dev/null:/dev/nothing", "busybox"),
        *("sh", "-c", "test -c /dev/nothing && test -c /dev/kmsg && echo both"),
    )

    assert out == "both"


def test_a_device_that_is_not_there_fails_the_start_in_dockers_words(docker: Client) -> None:
    """Docker's command takes a missing file for the program: 127."""
    done = docker("run", "--rm", "--device", "/dev/no-such-device", "busybox", "true")

    assert done.code == 127
    assert (
        'error gathering device information while adding custom device "/dev/no-such-device": '
        "no such file or directory"
    ) in done.err


def test_a_rule_permits_what_the_container_makes_itself(docker: Client) -> None:
    script = "mknod /k c 1 11; : > /k && echo written"

    out = docker.ok(
        *("run", "--rm", "--device-cgroup-rule", "c 1:11 w", "busybox", "sh", "-c", script)
    )

    assert out == "written"


def test_gpu_requests_are_refused(docker: Client) -> None:
    done = docker("run", "--rm", "--gpus", "all", "busybox", "true")

    assert done.code == 125
    assert 'could not select device driver "" with capabilities: [[gpu]]' in done.err


def test_a_requested_cgroup_parent_holds_the_container(
    daemon: DaemonUnderTest, parents: list[Path]
) -> None:
    wanted = {"CgroupParent": f"/{PARENT}/below", "PidsLimit": 9}
    identity = daemon.api.run("web", "sleep", "1000", HostConfig=wanted)
    pid = str(daemon.api.inspect("web")["State"]["Pid"])

    inside = [(place / identity / "cgroup.procs").read_text().split() for place in parents]

    assert inside
    assert all(pid in pids for pids in inside)
    stats = daemon.api.get("/containers/web/stats", **{"stream": 0, "one-shot": 1})
    assert stats["pids_stats"] == {"current": 1, "limit": 9}
    daemon.kill()
    daemon.start()
    assert daemon.api.status("web") == "running"
    daemon.api.remove("web")
    assert not any((place / identity).exists() for place in parents)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"DeviceCgroupRules": ["x"]}, "invalid device cgroup rule format: 'x'"),
        ({"CgroupParent": "/.."}, "invalid cgroup parent: '/..'"),
        ({"CgroupParent": "x" * 256}, "invalid cgroup parent: file name too long"),
        ({"CgroupParent": "x/" * 1025}, "invalid cgroup parent: file name too long"),
        ({"IOMaximumIOps": 1}, "Invalid QoS settings: linux does not support configuration of maximum IOPs"),
        ({"CpuShares": 1}, "the minimum allowed cpu-shares is 2"),
        ({"Memory": -1}, "Minimum memory limit allowed is 6MB"),
        (
            {"CpuRealtimePeriod": 5, "CpuRealtimeRuntime": 6},
            "cpu real-time runtime cannot be higher than cpu real-time period",
        ),
    ],
)  # fmt: skip
def test_limits_that_make_no_sense_are_refused(
    wanted: dict[str, Any], words: str, daemon: DaemonUnderTest
) -> None:
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": wanted}

    reply = daemon.api.request("POST", "/containers/create", body)

    assert (reply.status, reply.message) == (400, words)
    assert daemon.api.ps() == []


def test_what_linux_has_no_use_for_is_warned_about(daemon: DaemonUnderTest) -> None:
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"KernelMemory": 1, "CpuCount": 2}}

    warnings = daemon.api.post("/containers/create", body).json["Warnings"]

    assert warnings == [
        "linux does not support CPU count. Count discarded.",
        "Specifying a kernel memory limit is deprecated and will be removed in a future release.",
    ]
